"""How one client's messages are compressed, as its handshake offered and the pool says."""

from penstock.core.snapshot import WebSocketResponses
from penstock.wire.http1 import RequestHead, ResponseHead
from penstock.wire.websocket_deflate import Deflater, DeflateTerms, Inflater, terms_for
from penstock.wire.websocket_handshake import with_extensions
from penstock.wire.websocket_messages import MessageReader, MessageWriter


def agreement_of(told: ResponseHead, terms: DeflateTerms | None) -> ResponseHead:
    """An endpoint's, as its client gets it: they agree to no extension, and we may."""
    answer = ResponseHead(b"", told.status, told.reason, told.minor)
    answer.connection = told.connection
    answer.fields = with_extensions(told.fields, terms.shown() if terms is not None else b"")
    return answer


def terms_with(head: RequestHead, spec: WebSocketResponses | None) -> DeflateTerms | None:
    """How messages from and to the client of that handshake are compressed; None: they are not."""
    deflate = spec.compression if spec is not None else None
    if deflate is None:
        return None
    return terms_for(head.fields, deflate.window_bits, keeps=deflate.context)


def reader_for(terms: DeflateTerms | None, most: int) -> MessageReader:
    """Of the client's messages."""
    inflater: Inflater | None = None
    if terms is not None:
        inflater = Inflater(terms.client_bits, forgets=terms.client_forgets)
    return MessageReader(True, most, inflater)


def writer_for(terms: DeflateTerms | None) -> MessageWriter:
    """Of what the client is told."""
    if terms is None:
        return MessageWriter()
    return MessageWriter(Deflater(terms.server_bits, forgets=terms.server_forgets))
