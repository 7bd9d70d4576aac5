"""The document's part about health: active checks, agents, outlier detection, slow start."""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from penstock.config.document.addresses import parse_authority
from penstock.config.document.check_bytes import CheckBytes
from penstock.config.document.headers import EditedName
from penstock.config.document.section import Section, plain, required, setting
from penstock.config.document.show import show
from penstock.config.document.values import (
    Count,
    Duration,
    Factor,
    FieldValue,
    Flag,
    OneOrMany,
    Port,
    PositiveCount,
    PositiveDuration,
    RequestTarget,
    Share,
    Token,
)
from penstock.core import snapshot

_AGENT: Final = snapshot.AgentCheck(port=0)
_CHECK: Final = snapshot.HealthCheck()
_OUTLIER: Final = snapshot.Outlier()
# Tokens are tens of milliseconds apart, first ones seconds; a long prompt that an engine computes
# in one piece takes longer, and then it is out until that is done.
_ENGINE_SILENCE_S: Final = 30.0
_SLOW_START: Final = snapshot.SlowStart()
STATUS_PATTERN: Final = r"^([1-5]xx|[1-5][0-9]{2}(-[1-5][0-9]{2})?)$"
# By kind: its own keys.
_KEYS: Final = {
    "http": {"method", "path", "host", "headers", "expect_statuses", "expect_body"},
    "grpc": {"service", "host", "headers"},
    "tcp": {"send", "expect"},
    "udp": {"send", "expect"},
}
_KEYS_OF_KINDS: Final = set().union(*_KEYS.values())
_RANGE: Final = re.compile(r"([1-5][0-9]{2})-([1-5][0-9]{2})")


def parse_status_range(value: object) -> tuple[int, int]:
    """``(200, 399)`` from ``200-399``, ``2xx`` or ``200``. Raises ValueError."""
    text = str(value)
    if re.fullmatch("[1-5]xx", text):
        return int(text[0]) * 100, int(text[0]) * 100 + 99
    found = _RANGE.fullmatch(text if "-" in text else f"{text}-{text}")
    if found is None:
        raise ValueError(f"a status such as 200, 2xx or 200-399 is needed, not {show(value)}")
    low, high = int(found[1]), int(found[2])
    if low > high:
        raise ValueError(f"the range {value} is empty; did you mean {high}-{low}?")
    return low, high


def _spell_range(bounds: tuple[int, int]) -> int | str:
    low, high = bounds
    return low if low == high else f"{low}-{high}"


_StatusInput = Annotated[int, Field(ge=100, le=599)] | Annotated[str, Field(pattern=STATUS_PATTERN)]
StatusRange = Annotated[
    tuple[int, int],
    BeforeValidator(parse_status_range, json_schema_input_type=_StatusInput),
    PlainSerializer(_spell_range, return_type=int | str),
]


def _not_host(name: str) -> str:
    if name.lower() == "host":
        raise ValueError("write it as `host`")
    return name


def _authority_or_empty(value: object) -> str:
    return parse_authority(value) if value else ""


class HealthCheck(Section):
    """Active checks. `health_check: /health` stands for HTTP with that path, `tcp` for TCP, `grpc`
    for gRPC."""

    kind: Literal["http", "grpc", "tcp", "udp"] = setting(
        _CHECK.kind,
        "`http` sends a request; `grpc` asks `grpc.health.v1.Health` over HTTP/2; `tcp` "
        "connects, sends `send` and awaits `expect`; `udp` sends "
        "`send` and awaits an answer. `http` when a `path` is given, `grpc` with a `service`.",
    )
    method: Token = setting(_CHECK.method, "Method of the request.")
    path: RequestTarget = setting(_CHECK.path, "Path of the request, with its query if it has one.")
    host: Annotated[str, BeforeValidator(_authority_or_empty)] = setting(
        _CHECK.host, "Host header. Empty: the endpoint's own."
    )
    headers: dict[Annotated[EditedName, AfterValidator(_not_host)], FieldValue] = setting(
        {}, "Additional headers of the request."
    )
    expect_statuses: OneOrMany[StatusRange] = setting(
        _CHECK.expect_statuses, "Statuses that count as success: `200`, `2xx` or `200-399`."
    )
    expect_body: str = setting(
        _CHECK.expect_body, "Text that the first 64 KiB of the body must contain."
    )
    service: str = setting(
        _CHECK.service,
        "Of kind `grpc`: the service that is asked for, such as `shop.Cart`. Empty: the server as "
        "a whole.",
    )
    send: CheckBytes = setting(
        _CHECK.send,
        "Of kinds `tcp` and `udp`: what is sent first. Text, in which `\\r`, `\\n`, `\\t`, `\\0`, "
        "`\\xHH` and `\\\\` are escapes; or `hex:` and hexadecimal digits. Empty: nothing.",
    )
    expect: CheckBytes = setting(
        _CHECK.expect,
        "What the first 64 KiB that come must contain, or the answer of kind `udp`, written like "
        "`send`. Empty: nothing is awaited by `tcp`, and any answer by `udp`.",
    )
    port: Port = setting(_CHECK.port, "Port to check. 0: the endpoint's own.")
    interval: PositiveDuration = setting(_CHECK.interval_s, "Time between two checks.")
    fast_interval: PositiveDuration = setting(
        _CHECK.fast_interval_s,
        "Time between two checks while the result is about to change the endpoint's state.",
    )
    timeout: PositiveDuration = setting(_CHECK.timeout_s, "Timeout of one check.")
    rise: PositiveCount = setting(_CHECK.rise, "Consecutive successes that bring an endpoint up.")
    fall: PositiveCount = setting(_CHECK.fall, "Consecutive failures that take it down.")
    jitter: Share = setting(_CHECK.jitter, "Random part of the interval, as a share.")
    initial: Literal["up", "down"] = setting(
        _CHECK.initial, "State of an endpoint until its first check is decided."
    )

    @model_validator(mode="after")
    def _consistent(self) -> "HealthCheck":
        meaningless = (self.model_fields_set & _KEYS_OF_KINDS) - _KEYS[self.kind]
        if meaningless:
            key = min(meaningless)
            kinds = " and ".join(kind for kind, keys in _KEYS.items() if key in keys)
            raise ValueError(
                f"`{key}` has no meaning for a check of kind {self.kind}: it is of {kinds}"
            )
        if self.kind == "udp" and not self.send:
            raise ValueError("a check of kind udp needs `send`: what endpoints answer to")
        if "fast_interval" in self.model_fields_set and self.fast_interval > self.interval:
            raise ValueError("`fast_interval` is longer than `interval`")
        if not self.expect_statuses:
            raise ValueError("`expect_statuses` is empty: no endpoint could ever be up")
        return self

    def compiled(self) -> snapshot.HealthCheck:
        """As the snapshot has it."""
        return plain(
            snapshot.HealthCheck,
            self,
            headers=tuple(self.headers.items()),
            fast_interval_s=min(self.fast_interval, self.interval),
        )


def spelled_check(value: Any) -> Any:
    """The short forms of a health check as mappings; None for ``off``."""
    match value:
        case "off" | False:
            return None
        case "tcp" | "http" | "grpc":
            return {"kind": value}
        case "udp":
            raise ValueError("write {kind: udp, send: …}: what endpoints answer to")
        case str() if value.startswith("/"):
            return {"kind": "http", "path": value}
        case str():
            raise ValueError(
                f"`off`, `tcp`, `grpc`, a path or a mapping is needed, not {show(value)}"
            )
        case dict() if "path" in value and "kind" not in value:
            return {**value, "kind": "http"}
        case dict() if "service" in value and "kind" not in value:
            return {**value, "kind": "grpc"}
    return value


HealthCheckOrOff = Annotated[
    HealthCheck | None,
    BeforeValidator(spelled_check, json_schema_input_type=str | HealthCheck | None),
]


class AgentCheck(Section):
    """An agent beside each endpoint that says how much it can take, in HAProxy's words: `75%`,
    `maxconn:30`, `ready`, `drain`, `maint`, `up`, `down#why`. A number alone stands for `port`."""

    port: Annotated[Port, Field(ge=1)] = required("Port of the agent, at the endpoint's address.")
    send: str = setting(_AGENT.send, "Text to send first, unchanged. Empty: none.")
    interval: PositiveDuration = setting(_AGENT.interval_s, "Time between two questions.")
    timeout: PositiveDuration = setting(_AGENT.timeout_s, "Timeout of an answer.")


def _spelled_agent(value: Any) -> Any:
    if value is False or value == "off":
        return None
    return {"port": value} if isinstance(value, (int, str)) else value


AgentCheckOrOff = Annotated[
    AgentCheck | None,
    BeforeValidator(_spelled_agent, json_schema_input_type=int | str | AgentCheck | None),
]


_OF_LOCAL: Final = {
    "consecutive_local_failures",
    "local_failure_share",
    "local_success_rate_stdev_factor",
}


class Outlier(Section):
    """Outlier detection: endpoints whose answers fail are ejected for a while.

    Answers 501 and 505 are no failures. Answers that are framed wrongly are none as long as other
    answers of the endpoint are in order."""

    enabled: Flag = setting(_OUTLIER.enabled, "Whether it is on; `outlier: off` is the short form.")
    split_local_failures: Flag = setting(
        _OUTLIER.split_local_failures,
        "Judge failures without a complete response (refused, broken off, timed out, not "
        "HTTP) separately, by the settings for local failures.",
    )
    consecutive_failures: Count = setting(
        _OUTLIER.consecutive_failures, "Consecutive failures that eject. 0: off."
    )
    consecutive_gateway_failures: Count = setting(
        _OUTLIER.consecutive_gateway_failures,
        "Consecutive gateway failures that eject: 502, 503, 504, and local failures unless "
        "they are split off. 0: off.",
    )
    consecutive_local_failures: Count = setting(
        _OUTLIER.consecutive_local_failures,
        "Consecutive local failures that eject. Needs `split_local_failures`. 0: off.",
    )
    failure_share: Share = setting(
        _OUTLIER.failure_share,
        "Share of failed requests in an interval that ejects. 0: off.",
    )
    local_failure_share: Share = setting(
        _OUTLIER.local_failure_share,
        "The same for local failures. Needs `split_local_failures`. 0: off.",
    )
    failure_share_min_requests: Count = setting(
        _OUTLIER.failure_share_min_requests,
        "Requests that an endpoint needs in an interval before its share is judged.",
    )
    success_rate_stdev_factor: Factor = setting(
        _OUTLIER.success_rate_stdev_factor,
        "Standard deviations below the pool's mean success rate that eject. 0: off.",
    )
    local_success_rate_stdev_factor: Factor = setting(
        _OUTLIER.local_success_rate_stdev_factor,
        "The same for requests that got a complete response. Needs `split_local_failures`. 0: off.",
    )
    success_rate_min_endpoints: Count = setting(
        _OUTLIER.success_rate_min_endpoints,
        "Endpoints with enough requests that are needed to judge the success rate.",
    )
    success_rate_min_requests: Count = setting(
        _OUTLIER.success_rate_min_requests, "Requests in an interval that count as enough."
    )
    silence: Duration | None = setting(
        None,
        "Eject an endpoint that sends no byte to anyone for this long while requests wait for"
        " their first byte, or answers of a language model for their next one; until it sends"
        " again. 0: off. Default: `30s` in pools of kind `llm`, else 0.",
    )
    interval: PositiveDuration = setting(_OUTLIER.interval_s, "Time between two judgements.")
    base_ejection: PositiveDuration = setting(
        _OUTLIER.base_ejection_s,
        "Length of the first ejection; each further one is longer by this much.",
    )
    max_ejection: PositiveDuration = setting(_OUTLIER.max_ejection_s, "Longest ejection.")
    max_ejected_share: Share = setting(
        _OUTLIER.max_ejected_share,
        "Share of a pool that may be ejected at once. One endpoint always may, and so may "
        "endpoints that no connection can be made to.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> "Outlier":
        if self.max_ejection < self.base_ejection:
            raise ValueError("`max_ejection` is shorter than `base_ejection`")
        local = sorted(name for name in self.model_fields_set & _OF_LOCAL if getattr(self, name))
        if local and not self.split_local_failures:
            raise ValueError(f"`{local[0]}` needs `split_local_failures: true`")
        return self

    def compiled(self, kind: str) -> snapshot.Outlier:
        """Of a pool of that kind."""
        silence_s = self.silence
        if silence_s is None:
            silence_s = _ENGINE_SILENCE_S if kind == "llm" else _OUTLIER.silence_s
        return plain(snapshot.Outlier, self, silence_s=silence_s)


def _switch(value: Any) -> Any:
    return {"enabled": value} if isinstance(value, (bool, str)) else value


OutlierOrOff = Annotated[
    Outlier, BeforeValidator(_switch, json_schema_input_type=bool | str | Outlier)
]


class SlowStart(Section):
    """An endpoint that comes up gets its share of requests step by step."""

    window: Duration = setting(
        _SLOW_START.window_s, "How long it takes to reach the full share. `off`: at once."
    )
    aggression: Annotated[Factor, Field(gt=0)] = setting(
        _SLOW_START.aggression, "1: the share grows linearly; higher: faster at first."
    )
    min_share: Share = setting(_SLOW_START.min_share, "Share at the beginning.")

    def compiled(self) -> snapshot.SlowStart:
        """As a pool's rules take it."""
        return plain(snapshot.SlowStart, self)


def _window_only(value: Any) -> Any:
    return {"window": value} if isinstance(value, (str, int, float)) else value


SlowStartOrWindow = Annotated[
    SlowStart, BeforeValidator(_window_only, json_schema_input_type=str | SlowStart)
]
