"""WebSockets of language models' APIs, whose messages are read: each response is a request."""
