"""Services of gRPC that the balancer answers itself, one to a file."""
