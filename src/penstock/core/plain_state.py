"""State as plain values, which JSON keeps, and reading it back with care."""

from math import isfinite

# What a forecaster or a policy remembers: numbers, lists of numbers and such values by name.
State = dict[str, object]


def number(state: State, key: str) -> float:
    """That number. Raises ValueError where it is no finite one."""
    return _number(state.get(key), key)


def whole(state: State, key: str) -> int:
    """That whole number, at least 0. Raises ValueError where it is none."""
    value = state.get(key)
    if type(value) is not int or value < 0:
        raise ValueError(f"{key!r} is no whole number of at least 0: {value!r}")
    return value


def numbers(state: State, key: str, length: int = -1) -> list[float]:
    """That list of finite numbers, of that length if one is given. Raises ValueError."""
    return _numbers(state.get(key), key, length)


def tables(state: State, key: str, rows: int) -> list[list[float]]:
    """That list of so many lists of finite numbers. Raises ValueError."""
    value = state.get(key)
    if not isinstance(value, list) or len(value) != rows:
        raise ValueError(f"{key!r} is no list of {rows} lists")
    return [_numbers(row, key, -1) for row in value]


def part(state: State, key: str) -> State:
    """The state of a part. Raises ValueError where there is none."""
    value = state.get(key)
    if not isinstance(value, dict):
        raise ValueError(f"{key!r} is no state")
    return value


def _numbers(value: object, key: str, length: int) -> list[float]:
    if not isinstance(value, list) or (length >= 0 and len(value) != length):
        wanted = "a list" if length < 0 else f"a list of {length}"
        raise ValueError(f"{key!r} is not {wanted}")
    return [_number(each, key) for each in value]


def _number(value: object, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        raise ValueError(f"{key!r} is no finite number: {value!r}")
    return float(value)
