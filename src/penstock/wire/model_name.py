"""The name of the model in a request's body, written anew."""

import msgspec

_body = msgspec.json.Decoder(dict[str, msgspec.Raw])


def with_model(body: bytes, name: str) -> bytes:
    """The same JSON object for that model; all other values keep their bytes.

    Of a key that stands there several times the last one is kept, as engines read it. Raises
    msgspec.DecodeError when it is no object, UnicodeDecodeError when a key is not UTF-8.
    """
    pieces: list[bytes] = []
    for key, value in _body.decode(body).items():
        text = msgspec.json.encode(name) if key == "model" else bytes(value)
        pieces.append(msgspec.json.encode(key) + b":" + text)
    return b"{" + b",".join(pieces) + b"}"
