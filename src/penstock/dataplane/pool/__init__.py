"""A pool of endpoints at run time: picking, admission, probing."""
