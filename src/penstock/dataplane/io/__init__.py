"""Sockets, TLS, readiness and time."""
