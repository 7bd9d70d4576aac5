"""Answers that are cut at random tokens, and what their clients get."""
