"""What is written down: decisions, and the request log."""
