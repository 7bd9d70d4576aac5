"""A file that was converted, and what it does with requests."""

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import trustme

from penstock.config.compile.snapshot import Configured, compile_document
from penstock.config.convert.haproxy.convert import convert_haproxy
from penstock.config.convert.nginx.convert import convert_nginx
from penstock.config.convert.outcome import LeftOut, Outcome
from penstock.config.load.document import load_text
from penstock.core.route import Matcher, RouteFacts, first_match
from penstock.core.snapshot import Route


class Converted:
    """Ours, checked as `penstock check` would."""

    def __init__(self, outcome: Outcome, directory: Path) -> None:
        self.outcome = outcome
        for name, text in outcome.files.items():
            (directory / name).write_text(text)
        self.configured: Configured = compile_document(
            load_text(outcome.text(), "the result", directory), None
        )

    @property
    def document(self) -> dict[str, Any]:
        return self.outcome.document

    @property
    def access(self) -> list[str]:
        """Rules of access that are left out."""
        return [each.text for each in self.outcome.access]

    @property
    def left_out(self) -> list[str]:
        """All else that is, but for what nothing here needs."""
        return [each.text for each in self.outcome.left_out if each.kind == "part"]

    def told(self, text: str) -> LeftOut:
        """What was said of that line."""
        [found] = [each for each in self.outcome.left_out if each.text.startswith(text)]
        return found

    def taken(
        self,
        path: str = "/",
        host: str = "h.example",
        *,
        listener: str | None = None,
        method: str = "GET",
        source: str = "203.0.113.9",
        headers: list[tuple[str, str]] | None = None,
    ) -> str:
        """What happens to a request: the pool's name, the status, or where it is sent."""
        routes = self.configured.snapshot.routes
        name = listener or self.configured.snapshot.listeners[0].name
        facts = RouteFacts(name, host, path, method, headers or [], source)
        route = routes[first_match([_matcher(each) for each in routes], facts)]
        return _shown(route)


def _matcher(route: Route) -> Matcher:
    sources = [ip_network(each) for each in route.match.sources]
    if not sources:
        return Matcher(route.match)
    return Matcher(route.match, lambda text: any(ip_address(text) in each for each in sources))


def _shown(route: Route) -> str:
    if route.respond is not None:
        return str(route.respond.status)
    if route.redirect is not None:
        redirect = route.redirect
        return f"{redirect.status} {redirect.scheme} {redirect.host} {redirect.path}".strip()
    return route.pools[0].pool


def nginx(tmp_path: Path, text: str) -> Converted:
    file = tmp_path / "nginx.conf"
    file.write_text(text)
    pytest.importorskip("crossplane")
    return Converted(convert_nginx(file), tmp_path)


def haproxy(tmp_path: Path, text: str) -> Converted:
    file = tmp_path / "haproxy.cfg"
    file.write_text(text)
    return Converted(convert_haproxy(file), tmp_path)


def write_certificates(directory: Path) -> None:
    """www.pem with its key www.key, both.pem with both, and the authority's ca.pem."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    issued = authority.issue_cert("www.example.com", "api.example.com")
    issued.private_key_pem.write_to_path(directory / "www.key")
    issued.cert_chain_pems[0].write_to_path(directory / "www.pem")
    issued.private_key_and_cert_chain_pem.write_to_path(directory / "both.pem")
