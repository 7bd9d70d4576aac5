"""Published request traces: what was asked, when, and which blocks of the prompts were equal.

- Mooncake (``kvcache-ai/Mooncake``): JSON lines with ``timestamp`` in milliseconds,
  ``input_length``, ``output_length`` and ``hash_ids``, one for each 512-token block of the prompt.
- Azure (``Azure/AzurePublicDataset``, 2023 and 2024): CSV with ``TIMESTAMP``, ``ContextTokens``,
  ``GeneratedTokens``; no prefixes are known, every prompt is its own.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple, TextIO

import msgspec

BLOCK_TOKENS: Final = 512  # the block of Mooncake's published traces
_NEGATIVE: Final = "a number of tokens is negative"


class TraceError(Exception):
    """The file is not a trace in a known format. The message says where."""


class TraceRequest(NamedTuple):
    at_s: float
    input_tokens: int
    output_tokens: int
    blocks: tuple[int, ...]


class _MooncakeLine(msgspec.Struct):
    timestamp: float
    input_length: int
    output_length: int
    hash_ids: list[int]


def read_trace(path: Path) -> Iterator[TraceRequest]:
    """The requests in the file's order, times from its first. Raises TraceError, OSError."""
    found = False
    # Spreadsheets begin a file with a mark of its encoding, which is none of its text.
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            for request in _from_zero(_requests(file, path)):
                found = True
                yield request
        except UnicodeDecodeError as error:
            raise TraceError(f"{path} is no text; if it is compressed, unpack it first") from error
    if not found:
        raise TraceError(f"{path} has no request in it")


def _requests(file: TextIO, path: Path) -> Iterator[TraceRequest]:
    first = file.readline()
    file.seek(0)
    if first.lstrip().startswith("{"):
        yield from _read_mooncake(file, path)
    elif first.startswith("TIMESTAMP,ContextTokens,GeneratedTokens"):
        yield from _read_azure(file, path)
    elif first:
        raise TraceError(
            f"{path}: line 1 is neither a JSON object (Mooncake) nor the header "
            "TIMESTAMP,ContextTokens,GeneratedTokens (Azure)"
        )


def _read_mooncake(lines: Iterable[str], path: Path) -> Iterator[TraceRequest]:
    decoder = msgspec.json.Decoder(_MooncakeLine)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            parsed = decoder.decode(line)
        except msgspec.DecodeError as error:
            raise TraceError(f"{path}: line {number}: {error}") from error
        if parsed.input_length < 0 or parsed.output_length < 0:
            raise TraceError(f"{path}: line {number}: {_NEGATIVE}")
        if len(parsed.hash_ids) * BLOCK_TOKENS < parsed.input_length:
            raise TraceError(
                f"{path}: line {number}: {len(parsed.hash_ids)} hash_ids are too few for "
                f"{parsed.input_length} tokens in blocks of {BLOCK_TOKENS}"
            )
        yield TraceRequest(
            parsed.timestamp / 1000,
            max(1, parsed.input_length),
            max(1, parsed.output_length),
            tuple(parsed.hash_ids),
        )


def _read_azure(lines: Iterable[str], path: Path) -> Iterator[TraceRequest]:
    for number, row in enumerate(_rows(lines, path), 2):
        try:
            # Python reads at most six digits of a second, the 2023 trace has seven.
            stamp, _, zone = row["TIMESTAMP"].partition("+")
            at = datetime.fromisoformat(stamp[:26] + ("+" + zone if zone else ""))
            inputs, outputs = int(row["ContextTokens"]), int(row["GeneratedTokens"])
            if inputs < 0 or outputs < 0:
                raise ValueError(_NEGATIVE)
        except (TypeError, ValueError) as error:
            raise TraceError(f"{path}: line {number}: {error}") from error
        inputs = max(1, inputs)
        # Negative seeds belong to no Mooncake block.
        seeds = tuple(-(number << 16) - block for block in range(-(-inputs // BLOCK_TOKENS)))
        yield TraceRequest(at.timestamp(), inputs, max(1, outputs), seeds)


def _rows(lines: Iterable[str], path: Path) -> Iterator[dict[str, str]]:
    reader = csv.DictReader(lines)
    try:
        yield from reader
    except csv.Error as error:
        raise TraceError(f"{path}: line {reader.line_num + 1}: {error}") from error


def _from_zero(requests: Iterable[TraceRequest]) -> Iterator[TraceRequest]:
    origin: float | None = None
    for request in requests:
        origin = request.at_s if origin is None else origin
        yield request._replace(at_s=request.at_s - origin)
