"""The document's part about the request log."""

from ipaddress import ip_address
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator

from penstock.config.document.addresses import parse_address
from penstock.config.document.section import Section, setting
from penstock.config.document.show import show
from penstock.config.document.values import OneOrMany, Share
from penstock.core import snapshot

_SYSLOG: Final = "syslog:"


def parse_place(value: object) -> str:
    """``off``, ``stdout``, the path of a file, or where syslog is. Raises ValueError."""
    if value is False:
        return "off"
    if value in ("off", "stdout"):
        return str(value)
    if isinstance(value, str) and value.startswith(_SYSLOG):
        _check_syslog(value)
        return value
    if isinstance(value, str) and ("/" in value or "." in value) and "\0" not in value:
        return value
    raise ValueError(
        "`off`, `stdout` or a file (a name with a '.' or a '/', as in requests.jsonl) is needed, "
        f"not {show(value)}"
    )


def _check_syslog(value: str) -> None:
    place = value.removeprefix(_SYSLOG)
    if place.startswith("//"):
        address = parse_address(place[2:])
        try:
            ip_address(address.host)
        except ValueError as error:
            raise ValueError(
                f"{value}: an IP address is needed, as names are not looked up for every line"
            ) from error
    elif not place.startswith("/"):
        raise ValueError(f"write {_SYSLOG}/dev/log or {_SYSLOG}//192.0.2.1:514, not {show(value)}")


class RequestLog(Section):
    """One line for each request. A plain text stands for `to`."""

    to: Annotated[str, BeforeValidator(parse_place)] = setting(
        "off",
        "`off`, `stdout`, a file's path, or a syslog daemon: `syslog:/dev/log`, "
        "`syslog://192.0.2.1:514`.",
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
        target: Literal["off", "stdout", "file", "syslog"] = "file"
        if self.to == "off":
            target = "off"
        elif self.to.startswith(_SYSLOG):
            target = "syslog"
            path = self.to.removeprefix(_SYSLOG).removeprefix("//")
        elif self.to == "stdout":
            target = "stdout"
        return snapshot.RequestLog(
            target, path, self.format, self.sample, tuple(self.hide_query), self.clients
        )

    @property
    def path(self) -> str:
        """As it is written; empty where there is no file."""
        elsewhere = self.to in ("off", "stdout") or self.to.startswith(_SYSLOG)
        return "" if elsewhere else self.to


def request_log_of(value: Any) -> Any:
    """A place, or a section."""
    return {"to": value} if isinstance(value, (str, bool)) else value
