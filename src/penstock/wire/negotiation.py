"""Which form of an answer a client wants (RFC 9110, 12.4 and 12.5)."""

from typing import Final

_IDENTITY: Final = b"identity"


def preferences(value: bytes) -> list[tuple[bytes, float]]:
    """The choices of an Accept or Accept-Encoding, in lower case and in order, with their weights.

    One whose weight cannot be read is left out.
    """
    found: list[tuple[bytes, float]] = []
    for element in value.lower().split(b","):
        choice, _, parameters = element.partition(b";")
        choice = choice.strip(b" \t")
        weight = _weight(parameters)
        if choice and weight >= 0.0:
            found.append((choice, weight))
    return found


def best_type(accept: bytes, offered: list[bytes]) -> int:
    """The index of the media type that the client likes best; -1 where it takes none of them.

    Among those it likes alike, one that it names goes before one that it only covers by ``*``, then
    the one it names first, then the one that stands first in ``offered``, which are in lower case.
    """
    wanted = preferences(accept)
    if not wanted:
        return 0 if offered else -1
    best = -1
    liked = (0.0, 0, 0)
    for index, media_type in enumerate(offered):
        liking = _liking(media_type, wanted)
        if liking[0] > 0.0 and (best < 0 or liking > liked):
            best, liked = index, liking
    return best


def _liking(media_type: bytes, wanted: list[tuple[bytes, float]]) -> tuple[float, int, int]:
    """The weight of the range that names the type most exactly, how exactly, and how early."""
    liking = (0.0, 0, 0)
    for at, (choice, weight) in enumerate(wanted):
        precision = _precision(choice, media_type)
        if precision > liking[1]:
            liking = (weight, precision, -at)
    return liking


def best_coding(accept_encoding: bytes, offered: list[bytes]) -> bytes:
    """The content coding that the client likes best, at least as well as none; b"": none.

    Among those it likes alike, the one that stands first in ``offered``. A coding that it does not
    name, also not by ``*``, it need not understand.
    """
    wanted = preferences(accept_encoding)
    best = b""
    best_weight = 0.0
    for coding in offered:
        weight = _weight_of(coding, wanted)
        if weight > best_weight:
            best, best_weight = coding, weight
    return best if best_weight >= _weight_of(_IDENTITY, wanted, covered=False) else b""


def _weight_of(coding: bytes, wanted: list[tuple[bytes, float]], *, covered: bool = True) -> float:
    """0.0 where it is not named; ``covered``: ``*`` names it too."""
    found = 0.0
    for choice, weight in wanted:
        if choice == coding or choice == b"x-" + coding:  # x-gzip is gzip (RFC 9110, 8.4.1.3)
            return weight
        if choice == b"*" and covered:
            found = weight
    return found


def _precision(choice: bytes, media_type: bytes) -> int:
    """How exactly a media range names the type: 3 itself, 2 its kind, 1 any; 0 not at all."""
    if choice == media_type:
        return 3
    if choice == b"*/*":
        return 1
    return 2 if choice.endswith(b"/*") and media_type.startswith(choice[:-1]) else 0


def _weight(parameters: bytes) -> float:
    """The value of ``q`` among parameters, 1.0 without one; negative where it cannot be read."""
    for parameter in parameters.split(b";"):
        name, _, value = parameter.partition(b"=")
        if name.strip(b" \t") != b"q":
            continue
        value = value.strip(b" \t")
        if not value.replace(b".", b"", 1).isdigit() or len(value) > 5:
            return -1.0
        weight = float(value)
        return weight if weight <= 1.0 else -1.0
    return 1.0
