"""Programs that others wrote, each in an environment of its own, through Penstock."""
