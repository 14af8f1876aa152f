"""What a registry does: one module for each noun, plain arguments in and plain results out. No HTTP, no drivers."""
