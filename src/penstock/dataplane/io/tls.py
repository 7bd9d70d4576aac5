"""TLS over memory BIOs: the loop moves ciphertext, this turns it into plaintext and back.

Memory BIOs cost one read per batch of records, where a wrapped socket costs two per record (OpenSSL
reads the record header and the record apart).
"""

import re
import ssl
from typing import Any, Final

from msgspec.structs import replace

from penstock.core.snapshot import Certificate, EndpointTls, ListenerTls, Pool
from penstock.wire.client_certificate import ClientCertificate

_READ_BYTES: Final = 65536
_DER: Final = 2  # of what _ssl's certificates may be written as
_A: Final = ord("A")
_Z: Final = ord("Z")
# Where a session keeps the name that its client asked for: of ssl, only the callback is told it.
_ASKED_NAME: Final = "asked_name"
_CHAINS: Final = "verified_chains"  # where a context keeps what is remembered of its clients
_MOST_CHAINS: Final = 1000
_IGNORE_UNEXPECTED_EOF: Final[int] = getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)  # OpenSSL 3
# What ssl puts around OpenSSL's words: the library and the reason's name before, where in its own
# source it was behind.
_FRAME: Final = re.compile(r"^\[[^\]]*\] | \(_ssl\.c:\d+\)$")
# To endpoints, by ALPN: the best one first.
_OFFERED: Final = {"off": ["http/1.1"], "on": ["h2"], "auto": ["h2", "http/1.1"]}
_PLAIN_TLS: Final = ListenerTls()
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class TlsChannel:
    """One side of one TLS session."""

    def __init__(self, context: ssl.SSLContext, server_side: bool, server_name: str | None) -> None:
        self._incoming: ssl.MemoryBIO = ssl.MemoryBIO()
        self._outgoing: ssl.MemoryBIO = ssl.MemoryBIO()
        self._session: ssl.SSLObject = context.wrap_bio(
            self._incoming, self._outgoing, server_side, server_name
        )
        # The C object under SSLObject: a fifth of a microsecond less on each read and write.
        self._raw: Any = self._session._sslobj  # type: ignore[attr-defined]
        self._context: ssl.SSLContext = context  # of the listener, whatever name was asked for
        self.established: bool = False
        self.ended: bool = False  # the peer said that this was all (close_notify)
        self.failure: str = ""  # why the session cannot go on
        self.plaintext: bytes = b""  # what came where a handshake should: a request without TLS
        self._awaits_first: bool = server_side
        self.listener: str = ""  # to which the client came

    def decrypt(self, raw: bytes) -> bytes | None:
        """Plaintext out of received ciphertext; b"" at the end; None when more must come.

        ``raw`` is b"" when the peer closed. After the handshake's last step the plaintext that
        came with it, if any, is returned too.
        """
        if self._awaits_first and raw:
            self._awaits_first = False
            if _A <= raw[0] <= _Z:  # of a method; a handshake begins with 22 (RFC 8446, 5.1)
                self.plaintext = raw
                self.failure = "plain HTTP came to a TLS port"
                return b""
        if raw:
            self._incoming.write(raw)
        else:
            self._incoming.write_eof()
        try:
            if not self.established:
                self._raw.do_handshake()
                self.established = True
                if not self._incoming.pending:
                    return None if raw else b""
            data: bytes = self._raw.read(_READ_BYTES)
            if not data:
                self.ended = True
            elif not self._incoming.pending and not self._raw.pending():
                return data
            return self._read_rest(data)
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLZeroReturnError:
            self.ended = True
            return b""
        except ssl.SSLEOFError:
            return b""
        except (ssl.SSLError, ssl.CertificateError) as error:
            self.failure = _FRAME.sub("", str(error))
            return b""

    def _read_rest(self, data: bytes) -> bytes:
        pieces = [data]
        try:
            while data:
                data = self._raw.read(_READ_BYTES)
                pieces.append(data)
            self.ended = True
        except ssl.SSLError:
            pass  # wants more, or ended: what ended it comes again with the next read
        return b"".join(pieces)

    def encrypt(self, data: bytes) -> bytes:
        """Ciphertext for plaintext, after the handshake."""
        if data:
            try:
                self._raw.write(data)
            except ssl.SSLError as error:
                self.failure = str(error)
                return b""
        ciphertext: bytes = self._outgoing.read()
        return ciphertext

    def take_outgoing(self) -> bytes:
        """What the session itself wants to send: handshake, tickets, alerts."""
        if not self._outgoing.pending:
            return b""
        ciphertext: bytes = self._outgoing.read()
        return ciphertext

    def begin(self) -> bytes:
        """A client's first flight."""
        try:
            self._raw.do_handshake()
        except ssl.SSLWantReadError:
            pass  # as expected: the answer has yet to come
        return self.take_outgoing()

    def farewell(self) -> bytes:
        """The close_notify alert, so that the peer knows the end was meant."""
        try:
            self._raw.shutdown()
        except (ssl.SSLError, ValueError, OSError):
            pass  # wants the peer's own, or never was established
        return self.take_outgoing()

    def server_name(self) -> str:
        """The name that the client asked for, in lower case; "" where it asked for none."""
        name: str = getattr(self._session, _ASKED_NAME, "")
        return name

    def agreed_protocol(self) -> str:
        """What both chose to speak (ALPN); "" where nothing was."""
        return self._session.selected_alpn_protocol() or ""

    def client_certificate(self, with_chain: bool = False) -> ClientCertificate | None:
        """The one that the client showed, which was verified; None where it showed none.
        ``with_chain``: those that vouch for it are told too.

        It stays the same for as long as the session lasts: there is no renegotiation, and no
        authentication after the handshake (RFC 8446, 4.6.2) is asked for.
        """
        der = self._session.getpeercert(True)
        if not der:
            return None
        told: dict[str, Any] = {}
        try:
            told = self._session.getpeercert() or {}
        except (ssl.SSLError, ValueError):
            pass  # it was verified, and holds what Python cannot show
        certificate = ClientCertificate(der, told.get("subject", ()))
        if with_chain:
            certificate.tell_chain(self._known_chain(certificate.fingerprint))
        return certificate

    def _known_chain(self, fingerprint: str) -> list[bytes]:
        """Those that vouch for the certificate. A session that is resumed does not have them: they
        are remembered for as long as sessions can be resumed, of so many certificates."""
        known: dict[str, list[bytes]] = self._context.__dict__.setdefault(_CHAINS, {})
        chain = self.verified_chain()[1:]
        if not chain:
            return known.get(fingerprint, [])
        known.pop(fingerprint, None)
        known[fingerprint] = chain
        if len(known) > _MOST_CHAINS:
            del known[next(iter(known))]
        return chain

    def verified_chain(self) -> list[bytes]:
        """That certificate and those that vouch for it, the authority last; of a session that was
        resumed the first one alone, and empty where the client showed none."""
        der = self._session.getpeercert(True)
        if not der:
            return []
        chain = self._raw.get_verified_chain() or ()
        return [each.public_bytes(_DER) for each in chain] or [der]

    def version_and_cipher(self) -> tuple[str, str]:
        """What both chose, in OpenSSL's names."""
        chosen = self._session.cipher()
        return self._session.version() or "", chosen[0] if chosen is not None else ""


class _SniChooser:
    """Gives each client the certificate for the name that it asks for."""

    def __init__(self, contexts: dict[str, ssl.SSLContext]) -> None:
        self._contexts = contexts

    def __call__(
        self, session: ssl.SSLObject, server_name: str | None, context: ssl.SSLContext
    ) -> int | None:
        if server_name:
            name = server_name.lower().rstrip(".")
            setattr(session, _ASKED_NAME, name)
            chosen = self._contexts.get(name) or self._contexts.get(
                "*." + name.partition(".")[2], None
            )
            if chosen is not None:
                session.context = chosen
        return None


def server_context(
    certificates: tuple[Certificate, ...],
    protocols: tuple[str, ...] = ("http/1.1",),
    tls: ListenerTls = _PLAIN_TLS,
) -> ssl.SSLContext:
    """A listener's context; the first certificate serves clients that name no known host.

    ``protocols``: what may be agreed on by ALPN, the best one first; empty: nothing is.
    Without any, every handshake fails. Raises OSError or ssl.SSLError when a file cannot be read or
    a key does not fit.

    All contexts are alike but for their certificates. Of a context chosen by name OpenSSL takes the
    authorities and CRLs, but whether a certificate is asked for, how it is verified and which
    versions may be spoken stays as the first context has it (SSL_set_SSL_CTX).
    """
    by_name: dict[str, ssl.SSLContext] = {}
    contexts: list[ssl.SSLContext] = []
    if not certificates:
        return _without_certificate(protocols, tls)
    for certificate in certificates:
        context = _without_certificate(protocols, tls)
        context.load_cert_chain(certificate.certificate, certificate.key)
        contexts.append(context)
        for name in certificate.server_names:
            by_name.setdefault(name.lower(), context)
    contexts[0].sni_callback = _SniChooser(by_name)
    return contexts[0]


def challenge_contexts(challenges: tuple[Certificate, ...]) -> dict[str, ssl.SSLContext]:
    """By server name, for who asks by ACME's TLS-ALPN-01 (RFC 8737).

    One whose file is gone was not needed any more when the worker came to it.
    """
    contexts: dict[str, ssl.SSLContext] = {}
    for challenge in challenges:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["acme-tls/1"])
        try:
            context.load_cert_chain(challenge.certificate, challenge.key)
        except OSError:  # ssl's errors are of these
            continue
        for name in challenge.server_names:
            contexts[name] = context
    return contexts


def _without_certificate(protocols: tuple[str, ...], tls: ListenerTls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.minimum_version]
    if tls.cipher_suites:
        context.set_ciphers(":".join(tls.cipher_suites))
    if tls.client_ca_file:
        ask_certificates(context, tls)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    # A renegotiation costs the server far more than the client.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    return context


def ask_certificates(context: ssl.SSLContext, tls: ListenerTls) -> None:
    """Have clients asked for certificates. Raises OSError or ssl.SSLError on a bad file."""
    context.load_verify_locations(tls.client_ca_file)
    context.verify_mode = (
        ssl.CERT_REQUIRED if tls.client_certificate == "require" else ssl.CERT_OPTIONAL
    )
    if tls.crl_file:
        context.load_verify_locations(tls.crl_file)
        # Of every authority on the way: one that was revoked vouches for nobody.
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


def client_context(settings: EndpointTls) -> ssl.SSLContext:
    """A context for ``https://`` endpoints. Raises OSError or ssl.SSLError on a bad file."""
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(_OFFERED[settings.http2])
    if settings.certificate:
        context.load_cert_chain(settings.certificate, settings.key)
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    # An end without close_notify may have been made by somebody between (RFC 9112, 9.8).
    context.options &= ~_IGNORE_UNEXPECTED_EOF
    return context


class ClientContexts:
    """A worker's contexts for endpoints: kept over reloads, shared by pools of the same settings.

    Making one reads the system's authorities, which takes 22 ms: time in which a loop would stand
    still. ``generation`` tells files from what they were before.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[EndpointTls, int], ssl.SSLContext] = {}

    def of(self, settings: EndpointTls, generation: int) -> ssl.SSLContext:
        """Raises OSError or ssl.SSLError on a bad file."""
        key = (settings, generation)
        context = self._made.get(key)
        if context is None:
            context = client_context(settings)
            self._made[key] = context
        return context

    def lacking(self, pools: tuple[Pool, ...]) -> list[tuple[EndpointTls, int]]:
        """Those that are to be made for these."""
        over_tls = [pool for pool in pools if any([endpoint.tls for endpoint in pool.endpoints])]
        return [key for key in _used_by(over_tls) if key not in self._made]

    def add(self, key: tuple[EndpointTls, int], context: ssl.SSLContext) -> None:
        self._made[key] = context

    def keep(self, pools: tuple[Pool, ...]) -> None:
        """Forget those that none of these uses."""
        used = _used_by(list(pools))
        self._made = {key: made for key, made in self._made.items() if key in used}


def without_http2(settings: EndpointTls) -> EndpointTls:
    """For connections to an endpoint that chooses what is spoken which are to speak HTTP/1.1."""
    return replace(settings, http2="off")


def _used_by(pools: list[Pool]) -> dict[tuple[EndpointTls, int], None]:
    used: dict[tuple[EndpointTls, int], None] = {}
    for pool in pools:
        used[(pool.tls, pool.tls_generation)] = None
        if pool.tls.http2 == "auto":
            used[(without_http2(pool.tls), pool.tls_generation)] = None
    return used
