"""Engines: recognised by asking, read on a schedule; what they say goes onto the board."""
