"""A worker without an operating system: sockets in memory, a clock that is moved by hand."""
