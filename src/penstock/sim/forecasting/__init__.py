"""Forecasts judged on what came: series from files, and every method beside the others."""
