"""How engines hand over KV caches, one way to a file."""
