"""Starting workers, watching them, and taking over those of a dead supervisor."""
