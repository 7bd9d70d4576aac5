"""Whether prompts are computed apart from their answers: ``python -m benchmarks.split``."""
