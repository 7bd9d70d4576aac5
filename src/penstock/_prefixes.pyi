def insert(
    blocks: list[int], ends: list[int], own: dict[int, int], holders: dict[int, int], bit: int, /
) -> tuple[int, int, list[int], list[int]]: ...
def shrink(
    own: dict[int, int],
    holders: dict[int, int],
    bit: int,
    over: int,
    tokens: int,
    room: int,
    table: int,
    at: int,
    /,
) -> tuple[int, int, int]: ...
def tell(
    cells: memoryview,
    first: int,
    entries: int,
    count: int,
    row: int,
    hashes: list[int],
    sizes: list[int],
    /,
) -> int: ...
def in_tokens(ends: list[int], count: int, per_token: float, /) -> list[int]: ...
