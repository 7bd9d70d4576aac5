"""The discrete-event simulation: a virtual clock, sources of requests, balancers, servers.

Compiled by mypyc like the layers that it drives. Nothing here chooses an endpoint: the pools,
policies and tickets of ``penstock.core`` do, exactly as in the data plane.
"""
