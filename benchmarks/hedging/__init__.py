"""What hedges are worth while one engine is at fault: ``python -m benchmarks.hedging``."""
