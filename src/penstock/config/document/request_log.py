"""The document's part about the request log."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from penstock.config.document.section import Section, setting
from penstock.config.document.show import show
from penstock.config.document.values import OneOrMany, Share
from penstock.core import snapshot


def parse_place(value: object) -> str:
    """``off``, ``stdout``, or the path of a file. Raises ValueError."""
    if value is False:
        return "off"
    if value in ("off", "stdout"):
        return str(value)
    if isinstance(value, str) and ("/" in value or "." in value) and "\0" not in value:
        return value
    raise ValueError(
        "`off`, `stdout` or a file (a name with a '.' or a '/', as in requests.jsonl) is needed, "
        f"not {show(value)}"
    )


class RequestLog(Section):
    """One line for each request. A plain text stands for `to`."""

    to: Annotated[str, BeforeValidator(parse_place)] = setting(
        "off", "`off`, `stdout`, or a file's path."
    )
    format: Literal["json", "common", "combined", "haproxy"] = setting(
        "json",
        "`json` has all that is known; `common` and `combined` are Apache's, `haproxy` is that of "
        "`option httplog`, for programs that read those.",
    )
    sample: Share = setting(
        1.0, "Share of requests that have a line. Those that went wrong or got a 5xx always have."
    )
    hide_query: OneOrMany[str] = setting(
        (), "Query parameters, such as `token`, whose values are written as `-`."
    )
    clients: Literal["whole", "network", "off"] = setting(
        "whole",
        "What of clients' addresses is written: all, their network (/24 of IPv4, /48 of IPv6), or "
        "nothing.",
    )

    def compiled(self, path: str) -> snapshot.RequestLog:
        """As workers take it. ``path``: where the file is, if there is one."""
        target: Literal["off", "stdout", "file"] = "file"
        if self.to == "off":
            target = "off"
        elif self.to == "stdout":
            target = "stdout"
        return snapshot.RequestLog(
            target, path, self.format, self.sample, tuple(self.hide_query), self.clients
        )

    @property
    def path(self) -> str:
        """As it is written; empty where there is no file."""
        return "" if self.to in ("off", "stdout") else self.to


def request_log_of(value: Any) -> Any:
    """A place, or a section."""
    return {"to": value} if isinstance(value, (str, bool)) else value
