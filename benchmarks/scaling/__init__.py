"""Rules that scale, side by side on days."""
