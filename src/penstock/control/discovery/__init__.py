"""Endpoints that are found while the balancer runs, and what becomes of those that sources name."""
