"""Histograms, windows, and counts of tokens."""
