"""Policies made of other policies."""
