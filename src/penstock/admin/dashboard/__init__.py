"""The page at the admin address, and the stream of differences that it shows."""
