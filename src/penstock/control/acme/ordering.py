"""One order of a certificate, from the account to the chain. It waits: call it in a thread.

The library ``acme`` is imported here alone, and only when something is ordered.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from penstock import __version__
from penstock.control.acme.tls_alpn import challenge_certificate, challenge_class
from penstock.core.snapshot import Acme

_TIMEOUT_S: Final = 30  # of one request to the authority
_WITHIN: Final = timedelta(seconds=180)  # its checks, and the certificate


class OrderError(Exception):
    """No certificate was issued. The text is for people."""


@dataclass(frozen=True)
class Ordered:
    """The key and the chain, as one PEM, and the account that it was ordered by."""

    pem: str
    account_key: str


@dataclass(frozen=True)
class Answers:
    """What the authority is told when it asks: texts by token (HTTP-01), or certificates by name
    (TLS-ALPN-01), each with its key as one PEM."""

    tokens: dict[str, str] = field(default_factory=dict)
    certificates: dict[str, str] = field(default_factory=dict)


def order(settings: Acme, account_key: str, publish: Callable[[Answers], None]) -> Ordered:
    """Order one. ``account_key`` is PEM, empty for a new account. ``publish`` returns when the
    answers are given to who asks. Raises OrderError."""
    from acme import errors, messages
    from josepy.errors import Error as JoseError
    from requests import RequestException

    key_pem = account_key or _new_key()
    try:
        client = _client_of(settings, key_pem)
        return Ordered(_order(client, settings, publish), key_pem)
    except errors.ValidationError as error:
        raise OrderError(_failed(error)) from error
    except messages.Error as error:
        raise OrderError(f"{error.typ}: {error.detail}") from error
    except (errors.Error, JoseError, RequestException, ValueError) as error:
        said = str(error) or type(error).__name__
        raise OrderError(f"{settings.directory}: {said}") from error


def _client_of(settings: Acme, key_pem: str) -> Any:
    """A client with an account: the one of that key, or a new one."""
    from acme import client, errors, messages
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from josepy.jwa import ES256
    from josepy.jwk import JWKEC

    key = JWKEC(key=load_pem_private_key(key_pem.encode(), None))
    net: Any = client.ClientNetwork(
        key, alg=ES256, user_agent=f"penstock/{__version__}", timeout=_TIMEOUT_S
    )
    if settings.ca_file:
        net.verify_ssl = settings.ca_file
    directory = client.ClientV2.get_directory(settings.directory, net)
    found = client.ClientV2(directory, net=net)
    wanted = messages.NewRegistration.from_data(
        email=settings.email or None, terms_of_service_agreed=True
    )
    try:
        found.new_account(wanted)
    except errors.ConflictError as known:
        resource = messages.RegistrationResource(uri=known.location, body=messages.Registration())
        net.account = found.query_registration(resource)
    return found


def _order(client: Any, settings: Acme, publish: Callable[[Answers], None]) -> str:
    from acme import challenges, messages

    over_tls = settings.challenge == "tls-alpn-01"
    kind = challenge_class() if over_tls else challenges.HTTP01
    key_pem = _new_key()
    placed = client.new_order(_request(key_pem, settings.names))
    wanted: dict[str, Any] = {}
    for authorization in placed.authorizations:
        if authorization.body.status == messages.STATUS_VALID:
            continue
        found = [each for each in authorization.body.challenges if isinstance(each.chall, kind)]
        name = str(authorization.body.identifier.value)
        if not found:
            raise OrderError(f"the authority offers no {settings.challenge.upper()} for {name}")
        wanted[name] = found[0]
    key = client.net.key
    told = {name: each.chall.key_authorization(key) for name, each in wanted.items()}
    if over_tls:
        made = {name: challenge_certificate(name, text) for name, text in told.items()}
        publish(Answers(certificates=made))
    else:
        tokens = {each.chall.encode("token"): told[name] for name, each in wanted.items()}
        publish(Answers(tokens))
    for each in wanted.values():
        client.answer_challenge(each, each.chall.response(key))
    until = datetime.now() + _WITHIN  # noqa: DTZ005 - as the library counts
    issued = client.poll_and_finalize(placed, deadline=until)
    return key_pem + str(issued.fullchain_pem)


def _request(key_pem: str, names: tuple[str, ...]) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

    alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_extension(alternative, critical=False)
    key: Any = load_pem_private_key(key_pem.encode(), None)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


def _new_key() -> str:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = generate_private_key(SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def validity(pem: str) -> tuple[float, float]:
    """From when until when its first certificate is valid (Unix time). Raises ValueError."""
    from cryptography import x509

    begin = pem.find("-----BEGIN CERTIFICATE-----")
    found = x509.load_pem_x509_certificate(pem[max(begin, 0) :].encode())
    return found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()


def _failed(error: Any) -> str:
    """Why names could not be confirmed."""
    said = [
        f"{authorization.body.identifier.value}: {challenge.error.detail}"
        for authorization in error.failed_authzrs
        for challenge in authorization.body.challenges
        if challenge.error is not None
    ]
    return "; ".join(said) or "the authority could not confirm the names"
