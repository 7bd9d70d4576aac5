"""What all parts of a snapshot are."""

import msgspec


class Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Immutable plain data."""
