"""Several balancers that share a store: how well they choose, what they see, and its price."""
