"""Tenants: found by keys, by certificates and by name."""

from hashlib import sha256

from penstock.core.caller import Caller
from penstock.core.snapshot import Key, Limit, Snapshot, Tenant
from penstock.core.tenants import EXPIRED, REVOKED, Tenants, digest_of

DIGEST = sha256(b"secret").hexdigest()
LIMIT = Limit("it", "requests", 1.0, "minute")


def known(*tenants: Tenant, found: tuple[Tenant, ...] = ()) -> Tenants:
    made = Tenants()
    made.configure(Snapshot(1, (), (), (), tenants=tenants, found_tenants=found))
    return made


def test_a_certificate_is_its_tenant_by_fingerprint_subject_or_common_name() -> None:
    shown = Caller(certificate="CN=app,O=Acme", fingerprint="ab" * 32)
    for name in ("ab" * 32, "CN=app,O=Acme", "app"):
        tenants = known(Tenant("acme", certificates=(name,), limits=(LIMIT,)))
        record = tenants.by_certificate(shown, "app")
        assert record is not None
        assert (record.caller.tenant, [rule.name for rule in record.rules]) == ("acme", ["it"])
        assert tenants.by_certificate(Caller(certificate="CN=other"), "") is None


def test_keys_of_the_directory_join_the_tenant_of_the_file_with_its_rules() -> None:
    of_file = Tenant("acme", models=("small",), limits=(LIMIT,))
    tenants = known(of_file, found=(Tenant("acme", (Key("ci", DIGEST),)),))
    record = tenants.by_digest(digest_of(b"secret"))
    assert record is not None
    assert record.allows("small")
    assert not record.allows("big")
    assert len(record.rules) == 1


def test_a_key_narrows_what_its_tenant_may_and_has_limits_of_its_own() -> None:
    own = Limit("own", "requests", 1.0, "second")
    key = Key("ci", DIGEST, models=("small", "huge"), limits=(own,))
    tenants = known(Tenant("acme", (key,), models=("small", "big"), limits=(LIMIT,)))
    record = tenants.by_digest(digest_of(b"secret"))
    assert record is not None
    assert record.allowed() == ["small"]
    assert [rule.name for rule in record.rules] == ["it", "own"]


def test_ollamas_names_with_and_without_the_default_tag_are_one_model() -> None:
    tenants = known(Tenant("acme", (Key("ci", DIGEST),), models=("llama3",)))
    record = tenants.by_digest(digest_of(b"secret"))
    assert record is not None
    assert record.may_ask("llama3:latest")
    assert not record.may_ask("llama3:70b")


def test_a_key_that_is_revoked_or_over_says_so() -> None:
    tenants = known(Tenant("acme", (Key("ci", DIGEST, expires_at=100.0),)))
    record = tenants.by_digest(digest_of(b"secret"))
    assert record is not None
    assert (record.why_not(99.0), record.why_not(100.0)) == ("", EXPIRED)
    tenants = known(Tenant("acme", (Key("ci", DIGEST, revoked=True),)))
    record = tenants.by_digest(digest_of(b"secret"))
    assert record is not None
    assert record.why_not(0.0) == REVOKED
