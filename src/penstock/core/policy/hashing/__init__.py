"""Policies that send the same key to the same endpoint."""
