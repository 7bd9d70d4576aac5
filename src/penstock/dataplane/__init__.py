"""MOVE. The worker's process: sockets, the readiness loop, the life of an exchange."""
