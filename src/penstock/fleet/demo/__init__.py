"""The demonstration: one stream of traffic, two policies beside each other, a death, a revival."""
