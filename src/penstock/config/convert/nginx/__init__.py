"""nginx: read by crossplane, nginx's own parser for other programs."""
