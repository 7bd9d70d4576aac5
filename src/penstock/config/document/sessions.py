"""The document's part about sessions: cookies that bind clients to endpoints, and how they end."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, SecretStr, model_validator

from penstock.config.document.section import Section, setting
from penstock.config.document.show import show
from penstock.config.document.values import Duration, Flag, OneOrMany, RequestPath, Token
from penstock.core import snapshot

_STICKY: Final = snapshot.Sticky(cookie="", keys=())
_DRAIN: Final = snapshot.Drain()


def _attribute(path: str) -> str:
    if ";" in path:
        raise ValueError(f"{show(path)}: a ; would end the attribute (RFC 6265, 4.1.1)")
    return path


class Sticky(Section):
    """A signed cookie that returns a client to its endpoint, over any policy."""

    cookie: Token | None = setting(
        None, "Name of the cookie. Default: `penstock-` and the pool's name."
    )
    keys: OneOrMany[SecretStr] = setting(
        (), "Secrets of at least 16 characters: the first signs, all verify."
    )
    keys_file: str | None = setting(None, "A file with one such secret a line, instead of `keys`.")
    ttl: Duration = setting(_STICKY.ttl_s, "Lifetime. `off`: until the browser closes.")
    path: Annotated[RequestPath, AfterValidator(_attribute)] = setting(
        _STICKY.path, "Path attribute."
    )
    same_site: Literal["", "Strict", "Lax", "None"] = setting(
        _STICKY.same_site, "SameSite attribute. Empty: none is sent."
    )
    secure: Flag = setting(_STICKY.secure, "Secure attribute: the cookie travels over TLS only.")
    http_only: Flag = setting(_STICKY.http_only, "HttpOnly attribute: scripts cannot read it.")
    when_full: Literal["wait", "elsewhere"] = setting(
        _STICKY.when_full,
        "While the client's endpoint is at its `max_in_flight`: `wait` for it in the pool's "
        "queue, or go `elsewhere` for this request. The client keeps its cookie either way. "
        "Without `admission.queue` it is always `elsewhere`.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Sticky":
        if bool(self.keys) == (self.keys_file is not None):
            raise ValueError("give `keys` or `keys_file`; `openssl rand -hex 32` makes a key")
        if self.same_site == "None" and not self.secure:
            raise ValueError("browsers refuse `same_site: None` without `secure: true`")
        return self


class Drain(Section):
    """What becomes of the clients of an endpoint that drains (`ctl drain`, or its agent's `drain`)
    or has weight 0."""

    sticky: Literal["stay", "move"] = setting(
        _DRAIN.sticky,
        "Clients bound to the endpoint by a sticky cookie, or by an answer that they "
        "continue: `stay` until they end by themselves, or `move` at once. They always move "
        "when it is down, ejected or in maintenance.",
    )
    deadline: Duration = setting(
        _DRAIN.deadline_s, "How long they stay at most. `off`: without limit."
    )
    move_streams: Duration = setting(
        _DRAIN.move_streams_s,
        "When streamed answers of an endpoint that leaves go on at another one, in pools that "
        "`resume`; within the retry budget, a few at a time. `off`: they end where they are.",
    )
