"""Labels, tags and annotations of what a provider finds: a port, weight, zone, name and models, and
nothing else, since whoever may label a container is not whoever may configure the balancer."""

from collections.abc import Mapping
from typing import Final

from penstock.config.document.addresses import parse_port
from penstock.config.document.show import show
from penstock.config.document.values import parse_name
from penstock.config.load.errors import did_you_mean
from penstock.core.snapshot.discovery import Found

KEYS: Final = ("port", "weight", "zone", "name", "models")
_MOST_WEIGHT: Final = 1_000_000.0
_LONGEST: Final = 256  # characters of a zone, and of a model's name
_MOST_MODELS: Final = 100


def labelled(found: Found, labels: Mapping[str, object], prefix: str) -> Found:
    """What was found, as its labels say. Raises ValueError for those with the prefix that are none
    of ours or hold what cannot be; all others are somebody else's."""
    said = {
        key.removeprefix(prefix): value for key, value in labels.items() if key.startswith(prefix)
    }
    for key in said:
        if key not in KEYS:
            known = ", ".join(prefix + each for each in KEYS)
            hint = did_you_mean(prefix + key, [prefix + each for each in KEYS])
            raise ValueError(f"there is no label {prefix + key!r}{hint or f'; there are: {known}'}")
    try:
        return described(found, said)
    except ValueError as error:
        raise ValueError(f"label {prefix}{error}") from error


def described(found: Found, said: Mapping[str, object]) -> Found:
    """What was found, with the values of some of ``KEYS``. Raises ValueError, which begins with the
    key."""
    changes: dict[str, object] = {}
    for key, value in said.items():
        try:
            changes[key] = _READERS[key](value)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from error
    return Found(**{**_fields(found), **changes}) if changes else found  # type: ignore[arg-type]


def _fields(found: Found) -> dict[str, object]:
    return {name: getattr(found, name) for name in found.__struct_fields__}


def _port(value: object) -> int:
    port = parse_port(value)
    if port == 0:
        raise ValueError("a port from 1 to 65535 is needed, not 0")
    return port


def _weight(value: object) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        weight = float(str(value))
    except ValueError:
        weight = -1.0
    if not 0.0 <= weight <= _MOST_WEIGHT:
        raise ValueError(f"a number from 0 to {_MOST_WEIGHT:.0f} is needed, not {show(value)}")
    return weight


def _zone(value: object) -> str:
    if not isinstance(value, (str, int)) or len(str(value)) > _LONGEST:
        raise ValueError(f"a text of at most {_LONGEST} characters is needed, not {show(value)}")
    return str(value)


def _models(value: object) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or len(names) > _MOST_MODELS:
        raise ValueError(
            f"names of models, with commas between them, are needed, not {show(value)}"
        )
    stripped = tuple(each.strip() if isinstance(each, str) else "" for each in names)
    if not all(0 < len(each) <= _LONGEST for each in stripped):
        raise ValueError(f"every model has a name of at most {_LONGEST} characters")
    return stripped


_READERS: Final = {
    "port": _port,
    "weight": _weight,
    "zone": _zone,
    "name": parse_name,
    "models": _models,
}
