"""Fleets scaled in the simulator: the planner that runs live, and the rules of others beside it."""
