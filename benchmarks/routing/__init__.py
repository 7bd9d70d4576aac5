"""How well requests to language models are routed: Penstock's policies and other programs."""
