"""Policies that learn how fast endpoints answer."""
