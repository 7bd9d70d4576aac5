"""Penstock: a load balancer for AI systems."""

from penstock._form import load_pure_if_asked

__version__ = "0.1.0"

load_pure_if_asked()
