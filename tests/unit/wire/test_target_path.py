"""One form of each path, and what servers may read in it otherwise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.http1 import BadMessage, parse_request
from penstock.wire.target_path import decoded_path, has_dot_segment, normal_path, other_readings


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        (b"/v1/chat", b"/v1/chat"),
        (b"/", b"/"),
        (b"/v1/%6coad_lora_adapter", b"/v1/load_lora_adapter"),
        (b"/%7Euser/%2d%2E%5f", b"/~user/-._"),
        (b"/a%2fb%c3%bc", b"/a%2Fb%C3%BC"),
        (b"/a%20b", b"/a%20b"),
        (b"/%252e%252e/a", b"/%252e%252e/a"),
        (b"/public/../admin", b"/admin"),
        (b"/public/%2e%2E/admin", b"/admin"),
        (b"/./a/.", b"/a/"),
        (b"/a/..", b"/"),
        (b"/a//../b", b"/a/b"),
        (b"/a/.hidden/..x/...", b"/a/.hidden/..x/..."),
        (b"//a///b", b"//a///b"),
        (b"/a;b=c", b"/a;b=c"),
    ],
)
def test_equivalent_paths_have_one_form(path: bytes, normal: bytes) -> None:
    assert normal_path(path, merge_slashes=False) == normal
    assert normal_path(normal, merge_slashes=False) == normal


def test_slashes_are_merged_where_that_is_asked_for() -> None:
    assert normal_path(b"//a///%62//", merge_slashes=True) == b"/a/b/"
    assert normal_path(b"/a//../b", merge_slashes=True) == b"/b"


@pytest.mark.parametrize(
    "path",
    [
        b"/../a",
        b"/a/../..",
        b"/%2e%2e",
        b"/%",
        b"/%4",
        b"/%zz",
        b"/%u002f",
        b"/%00",
        b"/a%00.txt",
        b"/%c0%af",
        b"/%C1%9c",
        b"/%e0%80%af",
        b"/%f0%80%80%af",
    ],
)
def test_path_without_a_safe_form_is_refused(path: bytes) -> None:
    with pytest.raises(ValueError, match="path"):
        normal_path(path, merge_slashes=False)


@pytest.mark.parametrize(
    ("path", "readings"),
    [
        (b"/v1/chat", set()),
        (b"/a%20b/%C3%BC/%25", set()),
        (b"/a%2Fb", {b"/a/b"}),
        (b"//a", {b"/a"}),
        (b"/a\\b", {b"/a/b"}),
        (b"/a%5Cb", {b"/a\\b", b"/a/b"}),
        (b"/a;x=y/b", {b"/a/b"}),
        (b"/a%3Bx/b", {b"/a;x/b", b"/a/b"}),
        (b"/a;%2Fb", {b"/a", b"/a;/b", b"/a/b"}),
        (b"/m%3Agenerate", {b"/m:generate"}),
    ],
)
def test_readings_are_what_servers_make_of_reserved_characters(
    path: bytes, readings: set[bytes]
) -> None:
    assert set(other_readings(path)) == readings


@pytest.mark.parametrize(
    "path",
    ["/a/..%2fb", "/a/%2e%2e%2Fb", "/a/..;/b", "/a/..;x=y/b", "/a%2f..", "/a\\..\\b", "/a/.%5c/b"],
)
def test_hidden_dot_segment_is_refused(path: str) -> None:
    with pytest.raises(BadMessage, match="hides a dot segment") as caught:
        parse_request(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), 8192, 100)
    assert caught.value.status == 400


def test_what_is_forwarded_is_normal_and_keeps_its_query() -> None:
    head = parse_request(
        b"GET http://a/x/%2e%2e/%61dmin?next=/%61/../%zz HTTP/1.1\r\nHost: b\r\n\r\n", 8192, 100
    )
    assert head.target == b"/admin?next=/%61/../%zz"


@given(
    st.lists(st.sampled_from(["/", "//", "a", ".", "..", "%2e", "%2F", "%5c", ";", "\\", "%41"]))
)
def test_no_reading_of_an_accepted_path_climbs(pieces: list[str]) -> None:
    path = ("/" + "".join(pieces)).encode()
    try:
        head = parse_request(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path, 8192, 100)
    except BadMessage:
        return
    assert normal_path(head.target, merge_slashes=False) == head.target
    for reading in (head.target, decoded_path(head.target), *head.readings):
        assert not has_dot_segment(reading)


@pytest.mark.parametrize("method", ["get", "Post", "cONNECT"])
def test_known_method_in_another_case_is_refused(method: str) -> None:
    with pytest.raises(BadMessage) as caught:
        parse_request(f"{method} / HTTP/1.1\r\nHost: a\r\n\r\n".encode(), 8192, 100)
    assert caught.value.status == 400
