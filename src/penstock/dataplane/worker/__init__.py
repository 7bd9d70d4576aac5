"""A worker: its process, its event loop's owner, and how it takes over a new snapshot."""
