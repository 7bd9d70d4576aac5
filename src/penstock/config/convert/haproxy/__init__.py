"""HAProxy: sections of lines, each a keyword and its arguments."""
