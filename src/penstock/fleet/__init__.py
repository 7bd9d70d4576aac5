"""PLAY. Emulated endpoints that speak the real protocols, for demos, tests and benchmarks."""
