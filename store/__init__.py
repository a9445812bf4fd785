"""The shelves: one agency a shelf, every personal value sealed before the first write, keys kept elsewhere."""
