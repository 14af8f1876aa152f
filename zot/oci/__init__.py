"""The vocabulary of the OCI specifications: pure values, no input or output."""
