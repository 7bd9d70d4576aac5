"""The client's side: accepted connections, and the protocol that a client speaks."""
