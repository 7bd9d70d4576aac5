"""`discover` in a configuration: what it becomes, and what is refused."""

from pathlib import Path

import pytest

from penstock.config.compile.snapshot import ConfigError, Configured, load_configuration
from penstock.config.document.discover import PROVIDERS
from penstock.control.discovery.providers import providers
from penstock.core.snapshot.discovery import DnsDiscovery, HttpDiscovery


def load(directory: Path, discover: str, more: str = "") -> Configured:
    file = directory / "penstock.yaml"
    file.write_text(f"listen: 127.0.0.1:0\npools:\n  main:\n    discover:\n{discover}\n{more}")
    return load_configuration(file)


def test_every_provider_is_configured_by_its_name() -> None:
    assert sorted(PROVIDERS) == list(providers())


def test_what_providers_are_told(tmp_path: Path) -> None:
    configured = load(
        tmp_path,
        """
      - dns: app.internal
        port: 8000
      - dns: {name: _h2._tcp.app.internal, record: srv, servers: ["[::1]:5353", 10.0.0.53]}
        scheme: h2c
        weight: 2
      - http: {url: "https://inventory/x?key=secret", headers: {Authorization: Bearer x}}
        max_endpoints: 5
""",
    )
    [pool] = configured.snapshot.pools
    a, srv, http = pool.discover
    assert a.settings == DnsDiscovery("app.internal")
    assert (a.port, a.scheme, a.shown) == (8000, "http", "dns app.internal")
    assert isinstance(srv.settings, DnsDiscovery)
    assert srv.settings.servers == (("::1", 5353), ("10.0.0.53", 53))
    assert (srv.settings.record, srv.scheme, srv.weight) == ("SRV", "h2c", 2.0)
    assert isinstance(http.settings, HttpDiscovery)
    assert http.max_endpoints == 5
    assert "secret" not in http.shown


def test_what_is_found_decides_what_the_pool_speaks(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(
        "listen: udp://127.0.0.1:0\n"
        "pools: {main: {discover: {dns: a.internal, port: 53, scheme: udp}}}\n"
    )
    configured = load_configuration(file)
    assert configured.snapshot.pools[0].protocol == "udp"


@pytest.mark.parametrize(
    ("discover", "told"),
    [
        ("      - dsn: a", "penstock.yaml:5:9: pools.main.discover[0].dsn: unknown key; did you mean 'dns'?"),  # noqa: E501
        ("      - {scheme: http}", "name one provider: `dns`"),
        ("      - {dns: a, file: b, port: 1}", "name one provider: `dns`"),
        ("      - dns: a.internal", "give the `port` of the endpoints beside `dns`"),
        ("      - {dns: {name: a, record: SRV}, port: 1}", "`port` has no effect: SRV records"),
        ("      - {dns: {name: a, record: MX}, port: 1}", "penstock.yaml:5:25: pools.main.discover[0].dns.record: one of A, AAAA, A+AAAA, SRV is needed, not 'MX'"),  # noqa: E501
        ("      - {dns: {name: a, record: CNAME}, port: 1}", "aliases are followed by themselves"),
        ("      - {dns: 10.0.0.1, port: 1}", "list it in `endpoints`"),
        ("      - {dns: 'a:80', port: 1}", "write a here, and `port: 80` beside `dns`"),
        ("      - {dns: {name: a, servers: ns1}, port: 1}", "address of a DNS server is needed"),
        ("      - {dns: {name: a, least_ttl: 1h}, port: 1}", "`least_ttl` is longer than `most_ttl`"),  # noqa: E501
        ("      - http: ftp://a", "a URL such as http://inventory:8080/targets is needed"),
        ("      - http: http://me:secret@a/", "use `headers: {Authorization: …}`"),
        ("      - file: '*/a.yaml'", "only the last part of the path may hold * and ?"),
        ("      - {dns: a, port: 1, models: m}", "discover.models: has no effect: the pool is not of kind llm"),  # noqa: E501
        ("      - {dns: a, port: 1}\n      - {dns: a, port: 2}", "dns a is listed twice"),
        ("      - {dns: a, port: 1, max_endpoints: 1000000}", "less than or equal to 20000"),
        ("      - {dns: a, port: 1, scheme: udp}\n    endpoints: [http://b]", "cannot be in one pool"),  # noqa: E501
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, discover: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, discover)
    assert told in str(caught.value)


def test_a_list_with_a_bad_label_is_refused_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(
        '[{"targets": ["a:1"],\n  "labels": {"penstock_command": "rm"}}]'
    )
    with pytest.raises(ConfigError, match=r"t.json:2: \[0\].labels: there is no label"):
        load(tmp_path, "      - file: t.json")


def test_a_list_that_is_not_there_is_doubtful(tmp_path: Path) -> None:
    [warning] = load(tmp_path, "      - file: later.json").warnings
    assert "later.json is not there: endpoints are read from it once it is" in warning
