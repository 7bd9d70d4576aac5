"""Published experiments on balancing, repeated in the simulator: see ``docs/reproductions.md``."""
