"""Fuzzing by coverage of what parses strangers' bytes: ``python -m fuzz --help``."""
