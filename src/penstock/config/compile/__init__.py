"""From a checked document to a snapshot."""
