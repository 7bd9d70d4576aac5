"""What the supervisor finds out about endpoints."""
