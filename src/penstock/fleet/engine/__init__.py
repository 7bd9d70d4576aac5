"""Emulated inference engines: the simulator's engine behind the protocols that real ones speak."""
