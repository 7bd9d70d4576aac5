"""A real Prometheus that scrapes a balancer: `make test-prometheus`."""
