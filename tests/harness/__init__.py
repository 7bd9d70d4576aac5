"""What tests of the running data plane are made of: a worker process, endpoints and clients.

Everything here speaks through sockets, the board and the mailbox, as the supervisor, endpoints
and clients do; nothing reaches into the worker.
"""
