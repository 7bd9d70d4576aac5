"""HTTP/2 (RFC 9113, 7541, 8441, 9218) without I/O; ``connection`` is where to begin reading."""
