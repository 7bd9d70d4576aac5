"""JSON Web Tokens: whose are let in, and until when."""

import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from penstock.core.snapshot import Snapshot, Tenant, TokenIssuer
from tests.harness.fake.stage import Stage, pool_of
from tests.harness.fake.stream import End
from tests.harness.messages import answer_of, get
from tests.harness.world import route, world
from tests.unit.dataplane.stage.asking import status_of

ISSUER = "https://login.example"
SIGNING = ec.generate_private_key(ec.SECP256R1())
STRANGER = ec.generate_private_key(ec.SECP256R1())
PUBLIC = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(SIGNING.public_key()))
KEYS = json.dumps({"keys": [{**PUBLIC, "kid": "one", "alg": "ES256", "use": "sig"}]})
NOW = time.time()  # by which PyJWT goes
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "penstock",
    "exp": NOW + 3600,
    "tenant": "acme",
    "sub": "alice",
}


def served(key_set: str = KEYS) -> Snapshot:
    issuer = TokenIssuer(ISSUER, ("penstock",), ("ES256",), key_set=key_set)
    return world(
        pool_of(0),
        routes=[route("main", tenants="required")],
        tenants=(Tenant("acme"),),
        token_issuers=(issuer,),
    )


def token(key: Any = SIGNING, algorithm: str = "ES256", kid: str = "one", **claims: Any) -> str:
    given = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    return jwt.encode(given, key, algorithm, headers={"kid": kid})


def ask(stage: Stage, shown: str, client: End | None = None) -> End:
    client = client or stage.client()
    stage.send(client, get("/", f"Authorization: Bearer {shown}"))
    return client


def is_let_in(stage: Stage, shown: str) -> bool:
    client = ask(stage, shown)
    if stage.in_flight() == 0:
        assert status_of(client.read()) == 401
        return False
    endpoint, data = stage.asked()
    assert shown.encode() not in data
    stage.send(endpoint, answer_of(b"hello"))
    return status_of(client.read()) == 200


def test_a_token_that_is_right_lets_in_and_is_remembered_until_it_ends() -> None:
    with Stage(served()) as stage:
        stage.context.second = int(NOW)
        ends = time.time() + 3600  # by the clock of PyJWT, however long ago this file was imported
        shown = token(exp=ends)
        assert is_let_in(stage, shown)
        assert is_let_in(stage, shown)
        record = next(iter(stage.context.tokens._remembered.values()))
        assert (record.caller.tenant, record.caller.key) == ("acme", "alice")
        assert record.why_not(ends + 1) != ""


@pytest.mark.parametrize(
    "shown",
    [
        token(exp=NOW - 1),
        token(exp=None),
        token(aud="another"),
        token(aud=None),
        token(iss="https://other.example"),
        token(iss=None),
        token(tenant="unheard-of"),
        token(tenant=None),
        token(tenant=["acme"]),
        token(STRANGER),
        token(kid="two"),
        token("a-secret-of-enough-length-for-hs256", "HS256"),
        token(None, "none"),
        token()[:-4] + "AAAA",
        "a.b.c",
        "..",
    ],
    ids=range(16),
)
def test_all_others_do_not(shown: str) -> None:
    with Stage(served()) as stage:
        assert not is_let_in(stage, shown)


@pytest.mark.parametrize("key_set", ["", "{", '{"keys": []}'])
def test_without_keys_nobody_is_let_in(key_set: str) -> None:
    with Stage(served(key_set)) as stage:
        assert not is_let_in(stage, token())


def test_who_showed_many_wrong_ones_has_none_verified_for_a_while() -> None:
    with Stage(served()) as stage:
        stage.context.second = int(NOW)
        for number in range(20):
            assert not is_let_in(stage, token(STRANGER, sub=str(number)))
        client = ask(stage, token())
        assert status_of(client.read()) == 429
