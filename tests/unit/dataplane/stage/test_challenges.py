"""While a certificate is ordered, an authority that nobody knows gets its answer, and only that."""

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from penstock.control.acme.tls_alpn import challenge_certificate
from penstock.core.snapshot import Certificate, Limits, Snapshot
from penstock.dataplane.client.settings import MOST_GUESTS
from tests.harness.fake.stage import Stage, pool_of
from tests.harness.fake.stream import End
from tests.harness.world import listener, world

PATH = "/.well-known/acme-challenge/token"
ROOM = 1 << 16


def asked(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: CA\r\n\r\n".encode()


def ordering(**settings: Any) -> Snapshot:
    """A listener for machines of one network, to which the clients here do not belong."""
    given = {"allow": ("10.0.0.0/8",), **settings}
    return world(pool_of(0), listeners=[listener(**given)], tokens={PATH: "token.thumbprint"})


@pytest.fixture
def over_tls(tmp_path: Path) -> dict[str, Any]:
    """Of a listener with a certificate of its own, while one for ``shop.example`` is ordered."""
    mine, challenge = tmp_path / "mine.pem", tmp_path / "challenge.pem"
    made = trustme.CA().issue_cert("shop.example")
    mine.write_bytes(made.private_key_pem.bytes() + made.cert_chain_pems[0].bytes())
    challenge.write_text(challenge_certificate("shop.example", "token.thumbprint"))
    return {
        "certificates": (Certificate(str(mine), str(mine)),),
        "challenges": (Certificate(str(challenge), str(challenge), ("shop.example",)),),
    }


def shake_hands(stage: Stage, name: str, protocols: list[str], pieces: int = 1) -> bytes:
    """The certificate that a client is shown that asks so; empty: none."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(protocols)
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(inward, outward, server_hostname=name)
    end = stage.client(ROOM)
    for _ in range(4):
        try:
            session.do_handshake()
            break
        except ssl.SSLWantReadError:
            flight = outward.read()
            size = max(len(flight) // pieces, 1)
            for at in range(0, len(flight), size):
                stage.send(end, flight[at : at + size])
            said = end.read()
            if not said:
                break
            inward.write(said)
    end.close()
    stage.settle()
    return session.getpeercert(True) or b"" if session.version() else b""


def is_challenge(certificate: bytes) -> bool:
    return bytes.fromhex("2b0601050507011f") in certificate  # acmeIdentifier, in DER


def answered(stage: Stage, request: bytes) -> tuple[bytes, End]:
    end = stage.client(ROOM)
    stage.send(end, request)
    return end.read(), end


def test_a_token_is_answered_to_who_may_not_come() -> None:
    with Stage(ordering()) as stage:
        said, end = answered(stage, asked(PATH))
        assert said.startswith(b"HTTP/1.1 200 OK\r\n")
        assert said.endswith(b"\r\n\r\ntoken.thumbprint")
        assert end.ended


@pytest.mark.parametrize("path", ["/", PATH + "2", PATH.upper(), PATH + "?a"])
def test_nothing_else_is(path: str) -> None:
    with Stage(ordering()) as stage:
        said, end = answered(stage, asked(path))
        assert (said, end.ended or end.dead) == (b"", True)


def test_a_head_that_does_not_end_is_not_waited_for() -> None:
    with Stage(ordering()) as stage:
        end = stage.client()
        stage.send(end, asked(PATH)[:-2])
        stage.pass_time(11.0)
        assert end.ended or end.dead
        end = stage.client(ROOM)
        stage.send(end, b"GET / HTTP/1.1\r\nX: " + b"x" * 4000)
        end.offer(b"x" * 200)
        stage.settle()
        assert end.ended or end.dead


def test_limits_do_not_hold_against_it_and_it_takes_no_place_of_theirs() -> None:
    spec = ordering(allow=(), limits=Limits(connections_per_address=1))
    with Stage(spec) as stage:
        first = stage.client()
        said, _ = answered(stage, asked(PATH))
        assert said.endswith(b"token.thumbprint")
        first.close()
        stage.settle()
        assert stage.context.clients == 0


def test_no_more_than_some_ask_at_a_time() -> None:
    with Stage(ordering()) as stage:
        ends = [stage.client() for _ in range(MOST_GUESTS + 1)]
        assert [end.ended or end.dead for end in ends].count(True) == 1
        for end in ends:
            end.close()
        stage.settle()
        said, _ = answered(stage, asked(PATH))
        assert said.endswith(b"token.thumbprint")


def test_without_an_order_nobody_is_let_in() -> None:
    with Stage(world(pool_of(0), listeners=[listener(allow=("10.0.0.0/8",))])) as stage:
        end = stage.client()
        assert end.ended or end.dead


@pytest.mark.parametrize("pieces", [1, 7])
@pytest.mark.parametrize("allow", [(), ("10.0.0.0/8",)])
def test_the_challenges_certificate_is_shown_to_who_asks_for_it_by_alpn(
    over_tls: dict[str, Any], pieces: int, allow: tuple[str, ...]
) -> None:
    with Stage(ordering(allow=allow, **over_tls)) as stage:
        shown = shake_hands(stage, "shop.example", ["acme-tls/1"], pieces)
        assert is_challenge(shown)
        assert stage.context.clients == 0


def test_all_others_are_clients_like_any_other(over_tls: dict[str, Any]) -> None:
    with Stage(ordering(allow=(), **over_tls)) as stage:
        for name, protocols in [
            ("shop.example", ["http/1.1"]),
            ("shop.example", ["acme-tls/1", "http/1.1"]),
        ]:
            shown = shake_hands(stage, name, protocols, 3)
            assert shown
            assert not is_challenge(shown)
        assert not is_challenge(shake_hands(stage, "other.example", ["acme-tls/1"]))
        said, _ = answered(stage, asked(PATH))
        assert b"HTTP/1.1 400" in said  # plain HTTP to a TLS port, as ever
    with Stage(ordering(**over_tls)) as stage:
        assert shake_hands(stage, "shop.example", ["http/1.1"]) == b""
        assert stage.context.clients == 0
