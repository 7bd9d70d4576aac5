"""What pools and routes may say that are added while the balancer runs: a list of the keys that
they may have, so that one that is new has to be allowed.

Whoever holds the admin token may change where requests go, and nothing else of the machine: no key
here runs code, or names a file, a secret or a command.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

import yaml

from penstock.config.load.errors import Location, Problem, did_you_mean
from penstock.config.load.yaml_tree import read_tree
from penstock.core.policy import policies

MAX_TEXT: Final = 64 * 1024  # characters of the settings of one pool or route
_MOST_VALUES: Final = 10_000  # where they repeat themselves by aliases
_ANY: Final = "*"  # keys are names that people give
# What a key may hold: None for a value or a list of values, or the keys that may stand in it.
Allowed: TypeAlias = Mapping[str, Any]


def _keys(names: str, **inner: Allowed) -> Allowed:
    return dict.fromkeys(names.split()) | inner


_COMPRESSION: Final = _keys("codings types minimum_size private")
_NAMED: Final = {_ANY: None}

POOL_KEYS: Final = _keys(
    "kind usage prompt_bytes malformed request_buffer policy host_header panic_threshold http2 "
    # Of the policy the name of one that comes with Penstock, see `_check_policy`.
    "engine",
    endpoints=_keys("url name weight max_in_flight priority backup zone models quic_server_ids"),
    models=_keys("discover default answers", aliases={_ANY: _NAMED}, fallbacks=_NAMED),
    probe=_keys("path timeout"),
    hash_key=_keys("source source_port path header cookie query", bytes=_keys("offset length")),
    drain=_keys("sticky deadline move_streams"),
    compression=_COMPRESSION,
    timeouts=_keys(
        "connect first_byte stream_idle first_token token request tunnel_idle session_idle "
        "http2_connection_age",
        first_token_header=_keys("name floor ceiling"),
    ),
    hedge=_keys("after budget_share"),
    retry=_keys(
        "attempts on_statuses on_grpc_statuses on_connect_failure on_reset on_timeout "
        "non_idempotent generations budget_share budget_min_per_s"
    ),
    health_check=_keys(
        "kind method path host expect_statuses expect_body service send expect port interval "
        "fast_interval timeout rise fall jitter initial"
    ),
    agent_check=_keys("port interval timeout"),
    outlier=_keys(
        "enabled split_local_failures consecutive_failures consecutive_gateway_failures "
        "consecutive_local_failures failure_share local_failure_share failure_share_min_requests "
        "success_rate_stdev_factor local_success_rate_stdev_factor success_rate_min_endpoints "
        "success_rate_min_requests silence interval base_ejection max_ejection max_ejected_share"
    ),
    circuit_breaker=_keys("failures open max_open trials"),
    admission=_keys(
        "priority_header default_priority",
        limit=_NAMED,
        queue=_keys(
            "length timeout newest_first_above while_down patience prefix_credit preemptions",
            codel=_keys("target interval"),
        ),
        throttle=_keys("k window"),
        success_rate=_keys("threshold aggression window max_refusal min_rate"),
        shedding=_keys("levels mean_wait"),
    ),
    slow_start=_keys("window aggression min_share"),
    forecast=_keys("method step seasons horizon lead"),
    connections=_keys("max_idle idle_timeout max_requests response_header_bytes"),
    tls=_keys("server_name"),
    quic_connection_ids=_keys("config server_id_length"),
    proxy_protocol=_keys("version datagrams"),
)
_HEADER_CONDITION: Final = _keys("exact prefix regex present invert")
ROUTE_KEYS: Final = _keys(
    "pool grpc_service upgrades",
    match=_keys(
        "listeners hosts sources server_names path path_prefix path_regex methods",
        headers={_ANY: _HEADER_CONDITION},
    ),
    pools=_NAMED,
    mirror=_keys("pool share"),
    redirect=_keys("status scheme host port path"),
    respond=_keys("status body content_type"),
    rewrite=_keys("prefix regex replacement"),
    response_headers=_keys("remove", set=_NAMED, add=_NAMED),
    compression=_COMPRESSION,
)


def settings_of(said: str | dict[str, Any]) -> dict[str, Any]:
    """A mapping, or its text in YAML or JSON; no variable of the environment is put in.

    Raises ValueError.
    """
    return said if isinstance(said, dict) else _read(said or "{}")


def _read(text: str) -> dict[str, Any]:
    if len(text) > MAX_TEXT:
        raise ValueError(f"the settings are longer than {MAX_TEXT // 1024} KiB")
    try:
        tree = read_tree(text, None)
    except yaml.MarkedYAMLError as error:
        raise ValueError(f"the settings are not YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ValueError("the settings are not YAML") from error
    if tree.problems:
        raise ValueError(f"the settings are not usable: {tree.problems[0].text}")
    if not isinstance(tree.value, dict):
        raise ValueError("the settings are a mapping, as in the configuration: {pool: blue}")
    return tree.value


def refused_keys(settings: Mapping[str, Any], allowed: Allowed) -> list[Problem]:
    """What they say that may not be said at run time. Nothing of them was tried until then."""
    found = []
    for number, problem in enumerate(_walk(settings, allowed, ())):
        if number >= _MOST_VALUES:
            return [Problem((), f"the settings hold more than {_MOST_VALUES} values")]
        if problem is not None:
            found.append(problem)
    policy = settings.get("policy") if allowed is POOL_KEYS else None
    if policy is not None:
        found += _check_policy(policy)
    return found


def _walk(value: Any, allowed: Allowed | None, at: Location) -> Iterator[Problem | None]:
    """Something for each value, so that whoever asks can stop."""
    yield None
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield from _walk(each, allowed, (*at, index))
    elif isinstance(value, dict):
        if at == ("policy",):
            return
        for key, inner in value.items():
            if allowed is None or (key not in allowed and _ANY not in allowed):
                yield Problem((*at, key), _not_allowed(key, allowed))
            else:
                yield from _walk(inner, allowed.get(key, allowed.get(_ANY)), (*at, key))


def _not_allowed(key: str, allowed: Allowed | None) -> str:
    text = "cannot be set at run time, only in the configuration"
    if not allowed:
        return text
    return text + (did_you_mean(key, allowed) or f"; here may stand: {', '.join(sorted(allowed))}")


def _check_policy(policy: Any) -> Iterator[Problem]:
    """One that comes with Penstock, and none of somebody's own inside it: that would run code."""
    said = policy if isinstance(policy, dict) else {"name": policy}
    for key, value in said.items():
        if isinstance(value, (dict, list)):
            yield Problem(("policy", key), "a plain value is needed")
        elif isinstance(value, str) and ":" in value:
            yield Problem(
                ("policy",),
                "a policy of one's own runs code, so it can only be named in the configuration; "
                f"there are: {', '.join(policies())}",
            )
