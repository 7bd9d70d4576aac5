"""What a document says of compression."""

from pathlib import Path

import pytest

from penstock.core.snapshot import Compression
from tests.unit.config.documents import errors_of, load


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("on", Compression()),
        ("off", Compression(codings=())),
        ("{codings: gzip, types: [Text/*]}", Compression(("gzip",), ("text/*",))),
        ("{private: true}", Compression(private=True)),
    ],
)
def test_a_pool_says_what_is_compressed(tmp_path: Path, written: str, meant: Compression) -> None:
    text = f"pools: {{a: {{endpoints: a:1, compression: {written}}}}}"
    assert load(text, tmp_path).snapshot.pools[0].compression == meant


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{types: text/event-stream}", "is a stream, which is never compressed"),
        ("{types: application/grpc+proto}", "is a stream, which is never compressed"),
        ("{types: html}", "a media type such as text/html"),
        ("{codings: br}", "zstd"),
    ],
)
def test_what_cannot_be_compressed_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    errors = errors_of(f"pools: {{a: {{endpoints: a:1, compression: {text}}}}}", tmp_path)
    assert any(problem in line for line in errors), errors


def test_bytes_that_are_relayed_unread_are_not_compressed(tmp_path: Path) -> None:
    errors = errors_of("pools: {a: {endpoints: tcp://a:1, compression: on}}", tmp_path)
    assert any("compression: has no effect" in line for line in errors), errors
