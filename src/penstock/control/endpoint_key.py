"""What tells endpoints apart in the whole of a configuration."""

EndpointKey = tuple[str, str]  # names of its pool and of itself
