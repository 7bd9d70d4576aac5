"""Penstock: a load balancer for AI systems."""

from penstock._form import choose_form

__version__ = "0.1.0"

choose_form()
