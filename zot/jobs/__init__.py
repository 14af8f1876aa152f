"""Work that is nobody's request: done by one leader process per store."""
