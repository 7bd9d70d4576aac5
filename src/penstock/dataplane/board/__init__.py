"""The memory that all processes share, and counters that live in it."""
