"""HTTP: the only package, with `zot.app`, that knows Flask. Views parse, make one call, and render."""
