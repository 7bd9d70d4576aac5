"""Pools that have as many endpoints as their load needs: the planner's eyes and hands."""
