"""The document's part about PROXY headers, read on listeners and written to endpoints."""

from typing import Any, Literal

from penstock.config.document.section import Section, setting
from penstock.core import snapshot

ReadMode = Literal["off", "accept", "require"]
Version = Literal["off", "v1", "v2"]
Datagrams = Literal["each", "first"]


class ReadProxyHeaders(Section):
    """PROXY headers of clients: `off`, `accept` or `require`, which is its `mode`, or these."""

    mode: ReadMode = setting(
        snapshot.Listener(name="", host="", port=0).proxy_protocol,
        "`require`: connections and datagrams without a header are closed and dropped; `accept`: "
        "they are the peer's own.",
    )
    datagrams: Datagrams = setting(
        "each",
        "Which datagrams of UDP begin with a header: `each`, or the `first` of a session. With "
        "`first` what follows is never taken for one.",
    )


class WrittenProxyHeaders(Section):
    """PROXY headers for endpoints: `off`, `v1` or `v2`, which is its `version`, or these."""

    version: Version = setting(
        snapshot.Pool(name="", endpoints=()).proxy_protocol,
        "Of the protocol. UDP has version 2 alone.",
    )
    datagrams: Datagrams = setting(
        "each",
        "Which datagrams to UDP endpoints begin with a header: `each`, as the protocol says, or "
        "the `first` of a session, which is shorter and lost where that datagram is.",
    )


def read_headers(value: Any) -> Any:
    """The short form is the mode."""
    return {"mode": value} if isinstance(value, str) else value


def written_headers(value: Any) -> Any:
    """The short form is the version."""
    return {"version": value} if isinstance(value, str) else value
