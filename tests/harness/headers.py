"""A list of header fields as tests want to read it."""

from collections.abc import Iterable


class Headers:
    """Fields in the order received; names in lower case, values as latin-1 text."""

    def __init__(self, fields: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.fields = [
            (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in fields
        ]

    def __contains__(self, name: str) -> bool:
        return any(field == name for field, _ in self.fields)

    def __getitem__(self, name: str) -> str:
        """The value of the one field of that name. Raises AssertionError unless there is one."""
        values = self.all(name)
        assert len(values) == 1, f"{len(values)} {name!r} fields in {self.fields}"
        return values[0]

    def all(self, name: str) -> list[str]:
        """The values of every field of that name, in order."""
        return [value for field, value in self.fields if field == name]

    def names(self) -> set[str]:
        return {name for name, _ in self.fields}

    def __repr__(self) -> str:
        return f"Headers({self.fields})"
