"""Policies that count requests."""
