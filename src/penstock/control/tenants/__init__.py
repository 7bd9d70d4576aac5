"""Tenants, as the supervisor keeps them: read from their directory, and what they used."""
