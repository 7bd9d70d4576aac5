"""A real Envoy in front, which asks Penstock for endpoints. Run by ``make test-envoy``."""
