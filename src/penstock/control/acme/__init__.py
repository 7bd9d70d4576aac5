"""Certificates fetched by ACME (RFC 8555): when they are due, how they are ordered and kept."""
