"""Values of a configuration as messages show them."""


def show(value: object) -> str:
    """A value as it may stand in a message: short, and its kind where it has no text."""
    match value:
        case None:
            return "nothing"
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case bool():
            return str(value).lower()
        case _:
            text = repr(value)
            return text if len(text) <= 60 else f"{text[:57]}…"
