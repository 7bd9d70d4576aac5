"""A model's name is written anew, and nothing else changes."""

import json
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.chunked import ChunkedReader, as_one_chunk
from penstock.wire.model_name import FormScanner, boundary_of, model_at_front, with_model

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES), st.text(), st.text())
def test_only_the_outermost_model_changes(body: dict[str, object], before: str, after: str) -> None:
    given_body = {**body, "model": before, "nested": {"model": before}}
    changed = json.loads(with_model(json.dumps(given_body).encode(), after))
    assert changed == {**given_body, "model": after}


def test_other_values_keep_their_bytes() -> None:
    body = b'{ "model" : "a", "temperature": 1.50e0, "messages" : [ {"content": "\\u00e9"} ] }'
    expected = b'{"model":"b","temperature":1.50e0,"messages":[ {"content": "\\u00e9"} ]}'
    assert with_model(body, "b") == expected


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        with_model(b'["model"]', "b")


@given(st.binary(min_size=1))
def test_a_body_in_one_chunk_is_that_body(body: bytes) -> None:
    assert ChunkedReader(False, 400).feed(as_one_chunk(body)) == body


def test_a_model_that_is_not_named_is_added() -> None:
    assert with_model(b'{"a": 1}', "m") == b'{"model":"m","a":1}'
    assert with_model(b"{}", "m") == b'{"model":"m"}'


FRONTS = [
    b'{"model": "m"',
    b'\xef\xbb\xbf {\n"stream":true, "model" : "m"',
    b'{"x": [{"model": "n", "y": "]}\\""}, {}], "z": -1.5e3, "model": "m"',
    b'{"model": "\\u006d"',
]


@pytest.mark.parametrize("front", FRONTS)
def test_a_model_at_the_front_is_found_before_the_rest_is_there(front: bytes) -> None:
    whole = front + b', "messages": ["' + b"x" * 100_000
    for body in (front + b",", whole):
        found = model_at_front(body)
        assert found is not None
        assert found.name == "m"
        renamed = found.renamed(body, 'n"')
        assert renamed == body[: found.start] + b'"n\\""' + body[found.end :]
    for cut in range(len(front)):
        assert model_at_front(front[:cut]) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'["model", "m"]',
        b'{"messages": ["' + b"x" * 70_000 + b'"], "model": "m"}',
        b'{"model": 5}',
        b'{"model": "' + b"m" * 5000 + b'"}',
        b'{"model" "m"}',
        b'{"a": "model": "m"}',
        b'{"text": "\\"model\\": \\"m\\""}',
    ],
)
def test_what_is_no_model_at_the_front_is_not_found(body: bytes) -> None:
    assert model_at_front(body) is None


MODEL = b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
FILE = (
    b'--B\r\ncontent-disposition: form-data; name="file"; filename="model"\r\n'
    b"Content-Type: audio/wav\r\n\r\n" + b"\r\n--A\r\n\r\n--\r\n-" * 50 + b"\r\n"
)
EMPTY = b'--B\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n\r\n'
TRICK = b'--B\r\nContent-Disposition: form-data; name="model"; filename="x"\r\n\r\nwrong\r\n'
END = b"--B--\r\n"


@given(
    st.permutations([MODEL, FILE, EMPTY, TRICK]),
    st.sampled_from([b"", b"preamble\r\n"]),
    st.integers(1, 300),
)
def test_the_part_with_the_model_is_found_wherever_it_stands(
    parts: list[bytes], before: bytes, cut: int
) -> None:
    body = before + b"".join(parts) + END
    scanner = FormScanner(b"B")
    for at in range(0, len(body), cut):
        scanner.feed(body[at : at + cut])
    found = scanner.found
    assert found is not None
    assert (found.name, scanner.done) == ("whisper-1", True)
    renamed = found.renamed(body, "large")
    assert renamed == before + b"".join(parts).replace(b"whisper-1", b"large") + END


def test_a_file_is_not_kept_while_the_model_is_looked_for() -> None:
    scanner = FormScanner(b"B")
    scanner.feed(FILE)
    tracemalloc.start()
    for _ in range(1000):
        scanner.feed(b"x" * 10_000)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 100_000
    scanner.feed(b"\r\n" + MODEL + END)
    assert scanner.found is not None


@pytest.mark.parametrize("body", [FILE + END, b"no form", MODEL.replace(b"whisper-1", b"m" * 9000)])
def test_a_form_without_a_model_has_none(body: bytes) -> None:
    scanner = FormScanner(b"B")
    scanner.feed(body)
    assert scanner.found is None


@pytest.mark.parametrize(
    ("kind", "boundary"),
    [
        (b"multipart/form-data; boundary=abc", b"abc"),
        (b'Multipart/Form-Data; charset=utf-8; BOUNDARY="a b"', b"a b"),
        (b"multipart/form-data", b""),
        (b"multipart/mixed; boundary=abc", b""),
        (b"application/json", b""),
    ],
)
def test_the_boundary_is_the_one_of_a_form(kind: bytes, boundary: bytes) -> None:
    assert boundary_of(kind) == boundary
