"""Lists of endpoints outside the configuration: both forms, and where an error is."""

import pytest

from penstock.config.load.targets import MAX_BYTES, TargetsError, read_targets
from penstock.core.snapshot.discovery import Discovery, FileDiscovery, Found, found_endpoint


def read(text: str) -> tuple[Found, ...]:
    return read_targets(text.encode(), "t.yaml")


def test_our_own_form() -> None:
    assert read(
        """
endpoints:
  - 10.0.0.1:8000
  - https://gpu.example/base
  - {url: "h2c://[::1]:80", weight: 2, zone: a, name: one, models: [m, n]}
"""
    ) == (
        Found("10.0.0.1", 8000),
        Found("gpu.example", 443, scheme="https", base_path="/base"),
        Found("::1", 80, scheme="h2c", weight=2.0, zone="a", name="one", models=("m", "n")),
    )


def test_prometheus_form_in_yaml_and_json() -> None:
    found = (
        Found("10.0.0.1", 80, weight=0.5, zone="a"),
        Found("10.0.0.2", 81, weight=0.5, zone="a"),
        Found("::1", 82),
    )
    assert (
        read(
            """
- targets: ["10.0.0.1:80", "10.0.0.2:81"]
  labels: {job: node, __meta_x: y, penstock_weight: "0.5", penstock_zone: a}
- targets: ["[::1]:82"]
"""
        )
        == found
    )
    assert (
        read(
            '[{"targets": ["10.0.0.1:80", "10.0.0.2:81"], "labels": {"job": "node", '
            '"penstock_weight": 0.5, "penstock_zone": "a"}}, {"targets": ["[::1]:82"]}]'
        )
        == found
    )


def test_a_label_may_give_the_port() -> None:
    [found] = read("- {targets: [a], labels: {penstock_port: 81, penstock_name: x}}")
    assert (found.host, found.port, found.name) == ("a", 81, "x")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("endpoints:\n  - a:1\n  - {url: b:1, wieght: 2}", "t.yaml:3: endpoints[1].wieght: unknown key; did you mean 'weight'?"),  # noqa: E501
        ("endpoints:\n  - {url: a:1, weight: much}", "t.yaml:2: endpoints[0].weight: a number from 0 to 1000000 is needed"),  # noqa: E501
        ("endpoints: [{url: a:1, port: 3}]", "unknown key"),
        ("endpoints: [{url: a:1, headers: {a: b}}]", "unknown key"),
        ("endpoints: a:1", "t.yaml:1: endpoints: a list is needed"),
        ("servers: [a:1]", "t.yaml:1: servers: a mapping with the key `endpoints` is needed"),
        ("- targets: [a:1]\n  labels: {penstock_wieght: 1}", "t.yaml:2: [0].labels: there is no label 'penstock_wieght'; did you mean 'penstock_weight'?"),  # noqa: E501
        ("- targets: [a:1]\n  labels: {penstock_port: 0}", "label penstock_port: a port from 1 to 65535"),  # noqa: E501
        ("- targets: [a:1]\n  labels: {penstock_policy: x}", "there is no label 'penstock_policy'"),
        ("- targets: ['http://a:1/x']", "t.yaml:1: [0].targets[0]: host:port is needed"),
        ("- a:1", "t.yaml:1: [0]: a mapping with a list of `targets` is needed"),
        ('[{"targets": ["a:1"]},\n {]', "t.yaml:2: not JSON"),
        ("endpoints: [", "not YAML"),
        ("just text", "`endpoints:` and a list is needed"),
        ("", "`endpoints:` and a list is needed"),
        ("endpoints: [!!python/name:os.system x]", "t.yaml:1"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(TargetsError) as caught:
        read(text)
    assert told in str(caught.value)


def test_a_list_is_bounded_and_nothing_is_taken_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(TargetsError, match="is over 8 MiB"):
        read_targets(b" " * (MAX_BYTES + 1), "t.yaml")
    monkeypatch.setenv("SECRET", "10.0.0.9")
    with pytest.raises(TargetsError):
        read("endpoints: ['${SECRET}:80']")


def test_what_a_provider_does_not_say_is_as_the_configuration_does() -> None:
    discovery = Discovery(
        FileDiscovery("t"), scheme="https", port=8000, weight=3.0, zone="z", priority=1
    )
    made = found_endpoint(discovery, Found("a"))
    assert (made.name, made.port, made.tls, made.weight, made.zone) == (
        "a:8000",
        8000,
        True,
        3,
        "z",
    )
    made = found_endpoint(discovery, Found("a", 1, scheme="http", weight=0.0, priority=2))
    assert (made.port, made.tls, made.weight, made.priority) == (1, False, 0.0, 3)
    with pytest.raises(ValueError, match="a speaks udp://, and `scheme` in `discover` is https"):
        found_endpoint(discovery, Found("a", 1, scheme="udp"))
    with pytest.raises(ValueError, match="a has no port: give `port` beside `file`"):
        found_endpoint(Discovery(FileDiscovery("t")), Found("a"))
