"""What calls the balancers: wrk for requests, ``stream_client`` for SSE, ``idle_client``."""
