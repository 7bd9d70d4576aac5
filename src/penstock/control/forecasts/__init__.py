"""Forecasts of what pools will be asked for, kept by the supervisor from the board's counters."""
