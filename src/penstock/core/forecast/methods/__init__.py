"""One way to forecast per file, found by name."""
