"""What the configuration means, for people and editors."""
