"""The arithmetic of the benchmark; what it measures is not tested."""
