"""RUN. The supervisor: reads configuration, starts workers, checks health, reloads."""
