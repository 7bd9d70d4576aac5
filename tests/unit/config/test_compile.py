"""The snapshot says what the document says."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import msgspec
import pytest
import trustme

from penstock.config.compile.cores import usable_cores
from penstock.config.compile.snapshot import (
    AdminSettings,
    Configured,
    configure_endpoints,
    load_configuration,
)
from penstock.config.document.routes import Route
from penstock.config.load.errors import ConfigError
from penstock.core import snapshot
from penstock.core.snapshot import decode_snapshot
from penstock.dataplane.exchange.unary_call import SERVICES
from tests.scenario.certificates import write_revocations
from tests.unit.config.documents import FULL, MINIMAL, errors_of, load

KUBECONFIG = """
clusters: [{name: lab, cluster: {server: "https://lab:6443"}}]
contexts: [{name: lab, context: {cluster: lab}}]
"""
# Given by the supervisor, not by the document.
_NOT_CONFIGURED = {
    "addresses",
    "no_address",
    "asks_again",
    "awaited",
    "challenges",
    "discovered",
    "generation",
    "instance",
    "key_set",
    "maintenance",
    "row",
    "tokens",
    "tls_generation",
}


@pytest.fixture
def full(tmp_path: Path) -> Configured:
    """What the document with every key says."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    write_revocations(authority, tmp_path / "crl.pem")
    server = authority.issue_cert("www.example.com")
    server.private_key_pem.write_to_path(tmp_path / "server.key")
    for pem in server.cert_chain_pems:
        pem.write_to_path(tmp_path / "server.pem", append=True)
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    (tmp_path / "page.html").write_text("<p>lost</p>")
    (tmp_path / "page.json").write_text("{}")
    (tmp_path / "headers").write_text("A: b")
    (tmp_path / "users").write_text("alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=")
    (tmp_path / "tenants").mkdir()
    (tmp_path / "tenants" / "found.yaml").write_text("weight: 3")
    return load(FULL, tmp_path)


def test_two_lines_make_a_listener_a_route_and_a_pool_of_defaults(tmp_path: Path) -> None:
    configured = load(MINIMAL, tmp_path)
    assert configured.snapshot == snapshot.Snapshot(
        generation=0,
        listeners=(snapshot.Listener("main", "127.0.0.1", 8080),),
        routes=(snapshot.Route("all", pools=(snapshot.WeightedPool("main"),)),),
        pools=(
            snapshot.Pool(
                "main",
                (
                    snapshot.Endpoint("127.0.0.1:9001", "127.0.0.1", 9001),
                    snapshot.Endpoint("127.0.0.1:9002", "127.0.0.1", 9002),
                ),
            ),
        ),
    )
    assert configured.workers == usable_cores()
    assert configured.admin == AdminSettings("127.0.0.1", 9900, None)
    assert configured.shutdown_deadline_s == 30.0
    assert configured.source == tmp_path / "penstock.yaml"


def test_every_part_left_out_of_a_mapping_is_the_default_of_the_snapshot(tmp_path: Path) -> None:
    pool = load(
        "pools: {main: {endpoints: a:1, timeouts: {}, retry: {}, outlier: {}, slow_start: {}, "
        "admission: {}, "
        "connections: {}, tls: {}, health_check: {}}}",
        tmp_path,
    ).snapshot.pools[0]
    expected = snapshot.Pool("main", (snapshot.Endpoint("a:1", "a", 1),))
    assert pool == msgspec.structs.replace(expected, health_check=snapshot.HealthCheck())


def test_every_field_of_the_snapshot_can_be_set_by_the_document(full: Configured) -> None:
    untouched = _fields_never_set(full.snapshot)
    assert untouched == set()


def test_a_snapshot_survives_its_journey_to_a_worker(full: Configured) -> None:
    assert decode_snapshot(full.snapshot.encode()) == full.snapshot


def test_the_full_document_says_what_it_says(full: Configured, tmp_path: Path) -> None:
    world = full.snapshot
    assert full.workers == 3
    assert full.shutdown_deadline_s == 90.0
    assert world.prompt_bytes == 64 << 20
    assert full.admin == AdminSettings("0.0.0.0", 9901, "an-admin-token-of-some-length")
    assert world.request_log == snapshot.RequestLog(
        "file", str(tmp_path / "requests.log"), "combined", 0.5, ("token",), "network"
    )
    listener = world.listeners[0]
    assert listener.certificates[0] == snapshot.Certificate(
        str(tmp_path / "server.pem"),
        str(tmp_path / "server.key"),
        ("www.example.com", "*.example.com"),
    )
    assert listener.timeouts.tls_handshake_s == 0.25
    assert listener.limits.body_bytes == 8 * 1024 * 1024
    assert listener.trusted_proxies == ("10.0.0.0/8", "192.0.2.1/32")
    mail, arena, named, chat, _, substituted, *_ = world.routes
    assert mail == snapshot.Route(
        "mail",
        match=snapshot.Match(listeners=("mail",)),
        pools=(snapshot.WeightedPool("relayed"),),
    )
    assert arena.match.listeners == ("arena",)
    assert named.match == snapshot.Match(
        listeners=("line", "mail"),
        server_names=("*.mail.example.com",),
        sources=("192.0.2.0/24",),
    )
    assert [each.protocol for each in world.listeners] == [
        "http",
        "tls-passthrough",
        "tcp",
        "udp",
        "http",
        "http",
    ]
    assert listener.allow == ("10.0.0.0/8", "2001:db8::/32")
    assert chat.match.headers == (
        snapshot.HeaderMatch("x-tier", "exact", "gold"),
        snapshot.HeaderMatch("x-trace", "present", "", invert=True),
        snapshot.HeaderMatch("x-both", "prefix", "a"),
        snapshot.HeaderMatch("x-both", "regex", ".*z", invert=True),
    )
    assert chat.match.hosts == ("api.example.com", "*.api.example.com")
    assert chat.match.methods == ("GET", "POST")
    assert chat.rewrite == snapshot.Rewrite("prefix", "/v1", "/api")
    assert substituted.rewrite == snapshot.Rewrite("regex", "^/(u)", r"/users/\1")
    assert substituted.upgrades == ("websocket", "own")
    assert chat.request_headers == (
        snapshot.HeaderEdit("remove", "X-Gone"),
        snapshot.HeaderEdit("add", "X-Many", "a"),
        snapshot.HeaderEdit("add", "X-Many", "b"),
        snapshot.HeaderEdit("set", "X-Set", "one"),
    )
    stable = world.pools[0]
    assert stable.policy == snapshot.PolicyChoice("tests.unit.config.policy:Keyed", {"depth": 7})
    assert stable.hash_key == snapshot.HashKey("header", ("x-user",))
    assert stable.endpoints[0] == snapshot.Endpoint("10.0.0.1:8443", "10.0.0.1", 8443, tls=True)
    assert stable.health_check is not None
    assert stable.health_check.expect_statuses == ((200, 200), (204, 206), (300, 399))
    assert stable.tls.ca_file == str(tmp_path / "ca.pem")


def test_a_hash_key_of_several_headers_keeps_their_order(tmp_path: Path) -> None:
    text = "pools: {a: {endpoints: a:1, policy: session, hash_key: {header: [X-B, x-a]}}}"
    (compiled,) = load(text, tmp_path).snapshot.pools
    assert compiled.hash_key == snapshot.HashKey("header", ("x-b", "x-a"))


def test_short_forms_stand_for_long_ones(tmp_path: Path) -> None:
    pool = load(
        "pools: {main: {endpoints: a:1, retry: off, outlier: off, slow_start: 5s, "
        "circuit_breaker: on, admission: {queue: 20, throttle: on, limit: vegas, shedding: off}, "
        "health_check: /up}}",
        tmp_path,
    ).snapshot.pools[0]
    assert pool.retry.attempts == 1
    assert not pool.outlier.enabled
    assert pool.slow_start.window_s == 5.0
    assert pool.breaker == snapshot.Breaker()
    assert pool.admission == snapshot.Admission(
        queue=snapshot.Queue(length=20),
        throttle=snapshot.Throttle(),
        limit=snapshot.LimitChoice("vegas"),
    )
    assert pool.health_check == snapshot.HealthCheck(kind="http", path="/up")


@pytest.mark.parametrize("endpoint", ["h2c://a:1", "https://a:1", "tcp://a:1"])
def test_endpoints_over_http2_are_asked_by_grpc(endpoint: str, tmp_path: Path) -> None:
    text = f"pools: {{main: {{endpoints: '{endpoint}', health_check: {{service: shop.Cart}}}}}}"
    if endpoint.startswith("tcp"):
        text += "\nlisten: tcp://:1"
    check = load(text, tmp_path).snapshot.pools[0].health_check
    assert check == snapshot.HealthCheck(kind="grpc", service="shop.Cart")


@pytest.mark.parametrize("spelled", ["unavailable", "UNAVAILABLE", "14", "[14]", "[unavailable]"])
def test_grpc_statuses_have_names_and_numbers(spelled: str, tmp_path: Path) -> None:
    text = f"pools: {{main: {{endpoints: 'h2c://a:1', retry: {{on_grpc_statuses: {spelled}}}}}}}"
    assert load(text, tmp_path).snapshot.pools[0].retry.on_grpc_statuses == (14,)


def test_service_of_ours_is_where_its_calls_go(tmp_path: Path) -> None:
    """And does not take what other routes are for, wherever it stands."""
    text = "{endpoints: 'h2c://a:1', routes: [{grpc_service: grpc.health.v1.Health}, {pool: main}]}"
    ours, rest = load(text, tmp_path).snapshot.routes
    assert ours.match == snapshot.Match(path_kind="prefix", path="/grpc.health.v1.Health")
    assert (ours.grpc_service, ours.pools) == ("grpc.health.v1.Health", ())
    assert rest.match == snapshot.Match()


def test_services_of_ours_are_those_that_are_built_in() -> None:
    known = Route.model_fields["grpc_service"].annotation
    assert set(get_args(get_args(known)[0])) == set(SERVICES)


def test_transfers_are_of_language_models(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not of kind llm"):
        load("pools: {main: {endpoints: 'http://a:1', kv_transfers: pass}}", tmp_path)


def test_grpc_health_may_be_beside_http_endpoints(tmp_path: Path) -> None:
    text = "pools: {main: {endpoints: 'http://a:1', health_check: {kind: grpc, port: 9}}}"
    assert load(text, tmp_path).snapshot.pools[0].health_check is not None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("admission: {limit: vega}", "vegas"),
        ("admission: {limit: {name: vegas, minimum: 0}}", "at least 1"),
        ("admission: {shedding: on, priority_header: X-P}", "needs a `queue`"),
        ("admission: {shedding: on, queue: 5}", "`priority_header`"),
        ("admission: {queue: 0}", "greater than or equal to 1"),
        ("circuit_breaker: {open: 2m}", "`max_open` is shorter"),
    ],
)
def test_protection_that_makes_no_sense_is_refused(
    tmp_path: Path, settings: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(f"pools: {{main: {{endpoints: a:1, {settings}}}}}", tmp_path)
    assert said in str(caught.value)


def test_the_fast_interval_of_checks_is_never_slower_than_the_interval(tmp_path: Path) -> None:
    text = "{endpoints: a:1, health_check: {interval: 200ms}}"
    check = load(text, tmp_path).snapshot.pools[0].health_check
    assert check is not None
    assert (check.interval_s, check.fast_interval_s) == (0.2, 0.2)


def test_listen_takes_several_addresses(tmp_path: Path) -> None:
    listeners = load("{listen: [':80', '[::]:81'], endpoints: a:1}", tmp_path).snapshot.listeners
    assert [(each.name, each.host, each.port) for each in listeners] == [
        ("main", "0.0.0.0", 80),
        ("main-2", "::", 81),
    ]


def test_a_balancer_without_pools_may_redirect(tmp_path: Path) -> None:
    world = load("routes: [{redirect: {scheme: https}}]", tmp_path).snapshot
    assert world.pools == ()
    assert world.routes[0].redirect == snapshot.Redirect(scheme="https")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("listen: 1.2.3.4:5", "nothing to balance: give `endpoints`, or `pools`"),
        ("{endpoints: a:1, pools: {b: {endpoints: b:1}}}", "give one of `endpoints` and `pools`"),
        ("{policy: round-robin, pools: {b: {endpoints: b:1}}}", "give one of `policy` and `pools`"),
        (
            "{endpoints: a:1, listen: b:1, listeners: {x: {address: c:1}}}",
            "give one of `listen` and `listeners`",
        ),
        ("{endpoints: []}", "a pool needs at least one endpoint"),
        ("{endpoints: [{url: a:1, weight: 0}]}", "every endpoint has weight 0"),
        ("{endpoints: [a:1, http://a:1]}", "endpoints[1]: a:1 is in this pool already"),
        ("{endpoints: a:1, listen: [b:1, b:1]}", "b:1 is the address of listener 'main' already"),
        (
            "pools: {a: {endpoints: a:1}, b: {endpoints: b:1}}",
            "several pools (a, b): add `routes` that say what each serves",
        ),
        (
            "{pools: {main: {endpoints: a:1}}, routes: [{pool: mian}]}",
            "routes[0].pool: no pool is called 'mian'; did you mean 'main'?",
        ),
        (
            "{endpoints: a:1, routes: [{pools: {main: 1, x: 1}}]}",
            "routes[0].pools.x: no pool is called 'x'",
        ),
        (
            "{endpoints: a:1, routes: [{pool: main, mirror: mani}]}",
            "routes[0].mirror: no pool is called 'mani'; did you mean 'main'?",
        ),
        (
            "{endpoints: a:1, routes: [{pool: main, match: {listeners: mai}}]}",
            "no listener is called 'mai'; did you mean 'main'?",
        ),
        (
            "{endpoints: a:1, routes: [{pool: main}, {respond: 404, match: {path: /x}}]}",
            "routes[1]: never reached: the route 'route-1' matches everything",
        ),
        (
            "{endpoints: a:1, routes: [{name: x, match: {path: /}, pool: main}, {name: x, "
            "pool: main}]}",
            "another route is called 'x'",
        ),
        (
            "{endpoints: a:1, listen: ['0.0.0.0:81', '127.0.0.1:81']}",
            "listen[1]: 127.0.0.1:81 cannot be listened on beside 0.0.0.0:81 of listener 'main'",
        ),
        (
            "{endpoints: a:1, listen: ['127.0.0.1:81', '[::]:81']}",
            "[::]:81 cannot be listened on beside 127.0.0.1:81",
        ),
        (
            "{endpoints: a:1, listen: ['localhost:81', '127.0.0.1:81']}",
            "cannot be listened on beside localhost:81",
        ),
        (
            "{endpoints: a:1, listen: '127.0.0.1:81', admin: '127.0.0.1:81'}",
            "admin: 127.0.0.1:81 is the address of listener 'main' already",
        ),
        (
            "{endpoints: a:1, listen: ':9900'}",
            "admin: 127.0.0.1:9900 cannot be listened on beside 0.0.0.0:9900",
        ),
        (
            "{endpoints: [a:1, '127.0.0.1:81'], listen: ':81'}",
            "endpoints[1]: 127.0.0.1:81 is Penstock's own listener 'main'",
        ),
        (
            "{endpoints: 'localhost:81', listen: '127.0.0.1:81'}",
            "localhost:81 is Penstock's own listener",
        ),
        (
            "{listen: '[::]:81', pools: {a: {endpoints: [{url: '[::1]:81'}]}}}",
            "pools.a.endpoints[0]: [::1]:81 is Penstock's own listener",
        ),
        (
            "{endpoints: a:1, listeners: {s: {address: ':1', tls: {acme: {names: a.example}}}, "
            "w: {address: ':2'}}}",
            "listeners.s.tls.acme.agree_terms: the authority issues certificates to who agrees",
        ),
        (
            "{endpoints: a:1, listeners: {s: {address: ':1', tls: {acme: {names: a.example, "
            "agree_terms: true}}}}}",
            "the authority asks for a token over plain HTTP at port 80",
        ),
        ("{endpoints: a:1, state: /dev/null/a}", "/dev/null is a file; the path of a folder"),
        ("{endpoints: a:1, request_log: ./none/log}", "none is not a folder that is there"),
        ("{endpoints: a:1, request_log: ./}", "is a folder; the path of a file is needed"),
        (
            "pools: {a: {endpoints: a:1, decisions: {sample: 1, file: none/log}}}",
            "pools.a.decisions.file: ",
        ),
        ("{endpoints: a:1, routes: []}", "at least one route is needed"),
        (
            "pools: {a: {endpoints: a:1, policy: round-robin, hash_key: path}}",
            "pools.a.hash_key: has no effect: the policy 'round-robin' does not read it",
        ),
        (
            "pools: {a: {endpoints: a:1, tls: {verify: false}}}",
            "has no effect: no endpoint's URL begins with https://",
        ),
        ("{endpoints: a:1, admin: 0.0.0.0:9900}", "other machines reach 0.0.0.0:9900"),
        ("{endpoints: a:1, admin: {token: short}}", "the secret has 5 characters"),
        ("{endpoints: a:1, admin: {token: ''}}", "the secret is empty"),
        (
            "pools: {a: {endpoints: a:1, sticky: {keys: [0123456789abcdef, x]}}}",
            "secret 2 has 1 characters",
        ),
        (
            "pools: {a: {endpoints: https://a, tls: {ca_file: none.pem}}}",
            "none.pem cannot be read: No such file or directory",
        ),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(
    text: str, expected: str, tmp_path: Path
) -> None:
    (line,) = errors_of(text, tmp_path)
    assert expected in line


@pytest.mark.parametrize("written", ["${TOKEN}", '"${TOKEN}"'])
def test_a_token_from_a_variable_that_is_empty_is_not_taken_for_none(
    written: str, tmp_path: Path
) -> None:
    text = f"endpoints: a:1\nadmin:\n  token: {written}\n"
    (line,) = errors_of(text, tmp_path, {"TOKEN": ""})
    assert "the secret is empty; where it comes from an environment variable, that is" in line


def test_who_gives_an_empty_default_means_none(tmp_path: Path) -> None:
    text = "endpoints: a:1\nadmin:\n  token: ${TOKEN:-}\n"
    assert load(text, tmp_path, {"TOKEN": ""}).admin.token is None


@pytest.mark.parametrize("name", ["requests.jsonl", "./requests", "/var/log/requests"])
def test_a_request_log_may_be_a_bare_name(name: str, tmp_path: Path) -> None:
    log = load(f"{{endpoints: a:1, request_log: {name}}}", tmp_path).snapshot.request_log
    assert log == snapshot.RequestLog("file", str(tmp_path / name))


def test_all_that_does_not_fit_is_said_at_once(tmp_path: Path) -> None:
    text = "endpoints: [a:1, a:1]\nadmin: 0.0.0.0:1\nroutes:\n  - pool: x\n  - pool: main\n"
    assert len(errors_of(text, tmp_path)) == 4


def test_secrets_are_read_from_files_beside_the_document(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token-from-a-file\n")
    (tmp_path / "keys").write_text("first-key-in-the-file\n\nsecond-key-in-the-file\n")
    configured = load(
        "admin: {address: 0.0.0.0:1, token_file: token}\n"
        "pools: {main: {endpoints: a:1, sticky: {keys_file: keys}}}",
        tmp_path,
    )
    assert configured.admin.token == "a-token-from-a-file"
    sticky = configured.snapshot.pools[0].sticky
    assert sticky is not None
    assert sticky.keys == ("first-key-in-the-file", "second-key-in-the-file")


def shared_cookies(first: str, second: str, routes: str, tmp_path: Path) -> tuple[str, ...]:
    """What is doubted about two sticky pools."""
    text = (
        f"pools: {{a: {{endpoints: a:1, sticky: {{keys: 0123456789abcdef, {first}}}}},"
        f" b: {{endpoints: b:1, sticky: {{keys: 0123456789abcdef, {second}}}}}}}\n"
        f"routes: [{routes}]\n"
    )
    return load(text, tmp_path).warnings


API_AND_REST = "{match: {path_prefix: /api}, pool: b}, {pool: a}"
X_A = "{match: {hosts: x.example}, pool: a}"


def test_each_pool_has_a_cookie_of_its_own(tmp_path: Path) -> None:
    assert shared_cookies("", "", API_AND_REST, tmp_path) == ()
    text = 'pools: {"a:[1]": {endpoints: a:1, sticky: {keys: 0123456789abcdef}}}'
    sticky = load(text, tmp_path).snapshot.pools[0].sticky
    assert sticky is not None
    assert sticky.cookie == "penstock-a%3A%5B1%5D", "a token whatever the pool is called"


@pytest.mark.parametrize(
    ("routes", "host"),
    [
        (API_AND_REST, "every host"),
        (f"{X_A}, {{pool: b}}", "x.example"),
        (f"{X_A}, {{match: {{hosts: '*.example'}}, pool: b}}", "x.example"),
        ("{match: {hosts: '*.example'}, pool: b}, " + X_A, "x.example"),
        ("{pools: {a: 1, b: 1}}", "every host"),
        (f"{X_A}, {{match: {{hosts: y.example}}, pool: b}}", ""),
        ("{match: {hosts: example}, pool: a}, {match: {hosts: '*.example'}, pool: b}", ""),
    ],
)
def test_cookies_of_one_name_on_one_host_are_doubted(
    routes: str, host: str, tmp_path: Path
) -> None:
    warnings = shared_cookies("cookie: lb", "cookie: lb", routes, tmp_path)
    if host:
        (warning,) = warnings
        assert "pools.b.sticky" in warning
        assert f"sets a cookie 'lb' with the path / for {host} too" in warning
    else:
        assert warnings == ()
    assert shared_cookies("cookie: lb", "cookie: lb, path: /api", routes, tmp_path) == ()


def test_admin_can_be_turned_off(tmp_path: Path) -> None:
    assert load("{endpoints: a:1, admin: off}", tmp_path).admin == AdminSettings(None, 0, None)


def test_a_command_line_says_the_same_as_the_two_lines(tmp_path: Path) -> None:
    urls = ["http://127.0.0.1:9001", "http://127.0.0.1:9002"]
    assert configure_endpoints(urls).snapshot == load(MINIMAL, tmp_path).snapshot
    assert configure_endpoints(urls).source is None


def test_engines_need_no_file() -> None:
    urls = ["http://gpu1:8000", "http://gpu2:8000"]
    [pool] = configure_endpoints(urls, kind="llm").snapshot.pools
    assert (pool.kind, pool.policy.name) == ("llm", "marginal-cost")
    assert pool.engine is not None, "their load is read"
    with pytest.raises(ConfigError, match="--kind: "):
        configure_endpoints(urls, kind="lm")


@pytest.mark.parametrize(("kind", "policy"), [("http", "least-request"), ("llm", "marginal-cost")])
def test_the_kind_of_a_pool_decides_its_policy_unless_one_is_given(
    tmp_path: Path, kind: str, policy: str
) -> None:
    for document in (
        f"{{endpoints: a:1, kind: {kind}}}",
        f"pools: {{models: {{endpoints: a:1, kind: {kind}}}}}",
    ):
        [pool] = load(document, tmp_path).snapshot.pools
        assert pool.policy == snapshot.PolicyChoice(policy)
    [pool] = load(f"{{endpoints: a:1, kind: {kind}, policy: round-robin}}", tmp_path).snapshot.pools
    assert pool.policy.name == "round-robin"


@pytest.mark.parametrize("limit", ["first_byte_s", "stream_idle_s"])
def test_engines_are_waited_for_longer_than_their_clients_wait(limit: str, tmp_path: Path) -> None:
    """A 504 before a client gives up makes it ask again: a generation begun twice (B12)."""
    clients_wait_s = 600.0  # openai-python, anthropic-sdk-python
    document = "pools: {main: {endpoints: [a:1], kind: llm}}"
    for configured in (load(document, tmp_path), configure_endpoints(["a:1"], kind="llm")):
        assert getattr(configured.snapshot.pools[0].timeouts, limit) > clients_wait_s
    key = limit.removesuffix("_s")
    given = load(f"{document[:-2]}, timeouts: {{{key}: 90s}}}}}}", tmp_path)
    assert getattr(given.snapshot.pools[0].timeouts, limit) == 90.0


def test_options_of_a_policy_that_is_not_named_are_of_the_default_of_the_kind() -> None:
    configured = configure_endpoints(["a:1"], kind="llm", policy_options={"copies": "0.01"})
    [pool] = configured.snapshot.pools
    assert pool.policy == snapshot.PolicyChoice("marginal-cost", {"copies": 0.01})


def test_a_command_line_sets_what_it_says() -> None:
    configured = configure_endpoints(
        ["a:1"],
        listen=["127.0.0.1:0", ":81"],
        policy="tests.unit.config.policy:Keyed",
        policy_options={"depth": "3", "share": "0.25", "mode": "fair", "bounded": "no"},
        workers="2",
        admin="0.0.0.0:1",
        admin_token="a-token-long-enough",
        health_check="/health",
        request_log="stdout",
        shutdown_deadline="5s",
    )
    assert configured.snapshot.pools[0].policy.options == {
        "depth": 3,
        "share": 0.25,
        "mode": "fair",
        "bounded": False,
    }
    assert [listener.port for listener in configured.snapshot.listeners] == [0, 81]
    assert configured.workers == 2
    assert configured.admin == AdminSettings("0.0.0.0", 1, "a-token-long-enough")
    assert configured.shutdown_deadline_s == 5.0
    assert configured.snapshot.request_log.target == "stdout"


def test_an_error_on_a_command_line_names_the_option() -> None:
    with pytest.raises(ConfigError) as caught:
        configure_endpoints(["http://a/b?c"], workers="none", listen="8080")
    assert str(caught.value).splitlines() == [
        "the command line has 3 errors:",
        "--listen: 8080 is only a port: write 127.0.0.1:8080 or 0.0.0.0:8080",
        "URL: 'http://a/b?c' has a query or fragment, which no endpoint can have",
        "--workers: `auto` or a number from 1 to 1024 is needed, not 'none'",
    ]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml: cannot be read"):
        load_configuration(tmp_path / "gone.yaml")


def test_a_quota_bounds_the_cores_in_a_container(tmp_path: Path) -> None:
    (tmp_path / "half").write_text("50000 100000\n")
    (tmp_path / "none").write_text("max 100000\n")
    assert usable_cores(tmp_path / "half") == 1
    assert usable_cores(tmp_path / "none") == usable_cores(tmp_path / "absent")


def _fields_never_set(value: object) -> set[str]:
    """Fields that have their default wherever their struct occurs in a value."""
    set_somewhere: dict[str, bool] = {}
    for struct in _structs(value):
        kind = type(struct)
        required = len(kind.__struct_fields__) - len(kind.__struct_defaults__)
        defaults = dict(
            zip(kind.__struct_fields__[required:], kind.__struct_defaults__, strict=True)
        )
        for field, default in defaults.items():
            if field not in _NOT_CONFIGURED:
                name = f"{kind.__name__}.{field}"
                plain = default.factory() if hasattr(default, "factory") else default
                differs = getattr(struct, field) != plain
                set_somewhere[name] = set_somewhere.get(name, False) or differs
    return {name for name, found in set_somewhere.items() if not found}


def _structs(value: object) -> Iterator[msgspec.Struct]:
    if isinstance(value, msgspec.Struct):
        yield value
        for field in value.__struct_fields__:
            yield from _structs(getattr(value, field))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _structs(item)


@pytest.mark.parametrize(
    ("given", "idle_s"),
    [
        ("", 55.0),
        ("kind: llm", 4.0),
        ("kind: llm\n    connections: {idle_timeout: 60s}", 60.0),
    ],
)
def test_connections_to_engines_are_kept_for_less_long_than_they_keep_theirs(
    tmp_path: Path, given: str, idle_s: float
) -> None:
    """uvicorn and cpp-httplib close theirs after 5 s."""
    document = f"listen: 127.0.0.1:8080\npools:\n  a:\n    endpoints: [e:80]\n    {given}\n"
    [pool] = load(document, tmp_path).snapshot.pools
    assert pool.connections.idle_timeout_s == idle_s


@pytest.mark.parametrize(
    ("url", "base_path", "name"),
    [
        ("http://a:1", "", "a:1"),
        ("http://a:1/", "", "a:1"),
        ("https://a/openai", "/openai", "a:443/openai"),
        ("https://a/openai/", "/openai", "a:443/openai"),
        ("http://a:1/v1", "/v1", "a:1/v1"),
    ],
)
def test_an_endpoint_may_stand_below_a_path(
    tmp_path: Path, url: str, base_path: str, name: str
) -> None:
    snapshot = load(f"endpoints: [{url}]\n", tmp_path).snapshot
    endpoint = snapshot.pools[0].endpoints[0]
    assert (endpoint.base_path, endpoint.name) == (base_path, name)


@pytest.mark.parametrize("url", ["http://a:1//b", "http://a:1/b/../c", "http://a:1/b c"])
def test_a_base_path_is_one_that_every_server_understands_alike(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError):
        load(f"endpoints: ['{url}']\n", tmp_path)


def test_the_base_url_of_an_openai_client_is_told_to_leave_its_version_away(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError, match="leave `/v1` away: the paths that clients ask for begin"):
        load("kind: llm\nendpoints: [http://a:8000/v1]\n", tmp_path)


def test_of_other_pools_it_is_hardly_meant(tmp_path: Path) -> None:
    (warning,) = load("endpoints: [http://a:8000/v1]\n", tmp_path).warnings
    assert "who asks for `/v1/x` gets `/v1/v1/x` there" in warning


def test_headers_of_an_endpoint_are_its_own(tmp_path: Path) -> None:
    document = "endpoints: [{url: http://a:1, headers: {Authorization: Bearer b}}]\n"
    endpoint = load(document, tmp_path).snapshot.pools[0].endpoints[0]
    assert endpoint.headers == (("Authorization", "Bearer b"),)
    with pytest.raises(ConfigError, match="belongs to the connection"):
        load("endpoints: [{url: http://a:1, headers: {Connection: close}}]\n", tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "{endpoints: a:1, listen: ['127.0.0.1:0', '127.0.0.1:0']}",
        "{endpoints: a:1, listen: ['0.0.0.0:81', '[::1]:81']}",
        "{endpoints: a:1, listen: ['127.0.0.1:81', '127.0.0.2:81']}",
        "{endpoints: ['127.0.0.1:82', '127.0.0.2:81', 'elsewhere:81'], listen: '127.0.0.1:81'}",
        "{endpoints: '203.0.113.9:81', listen: ':81'}",
        "{endpoints: a:1, request_log: ./log}",
    ],
)
def test_addresses_that_can_be_listened_on_beside_each_other_are_right(
    text: str, tmp_path: Path
) -> None:
    assert load(text, tmp_path).warnings == ()


def test_address_that_this_machine_has_not_is_doubted(tmp_path: Path) -> None:
    (warning,) = load("{endpoints: a:1, listen: '203.0.113.9:81'}", tmp_path).warnings
    assert warning.endswith("listen[0]: this machine has no address 203.0.113.9")


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        ("endpoints: a:1", 0),
        ("endpoints: [{url: a:1, max_in_flight: 4}]", 65536),
        ("endpoints: a:1, admission: {limit: vegas}", 65536),
        ("endpoints: [{url: a:1, max_in_flight: 4}], request_buffer: off", 0),
        ("endpoints: a:1, request_buffer: 16KiB", 16384),
    ],
)
def test_bodies_are_awaited_where_places_are_bounded(
    pool: str, expected: int, tmp_path: Path
) -> None:
    configured = load(f"pools: {{main: {{{pool}}}}}", tmp_path)
    assert configured.snapshot.pools[0].request_buffer == expected
