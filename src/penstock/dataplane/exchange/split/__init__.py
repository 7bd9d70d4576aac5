"""Prompts that one endpoint computes for another, which answers."""
