"""Engines: recognised by asking, read on a schedule; their reports go onto the board."""
