"""What others chose, such as names of models, on a terminal: without what would steer it."""


def printable(text: str) -> str:
    """The text, with a mark in place of every character that does more than show itself."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
