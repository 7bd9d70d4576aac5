"""SPEAK. Codecs without I/O: bytes in, meaning out, and back."""
