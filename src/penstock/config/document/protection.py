"""The document's part about protection: circuit breakers, and admission in front of a pool."""

from typing import Annotated, Any, Final, Literal

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from penstock.config.document.choice import choice_schema, spell_choice, typed_options
from penstock.config.document.section import Section, plain, setting
from penstock.config.document.show import show
from penstock.config.document.values import (
    Count,
    Duration,
    Factor,
    Name,
    Network,
    OneOrMany,
    PositiveCount,
    PositiveDuration,
    Priority,
    Share,
    Token,
)
from penstock.core import snapshot
from penstock.core.admission import create_limit, limits

_BREAKER: Final = snapshot.Breaker()
_CODEL: Final = snapshot.CoDel()
_QUEUE: Final = snapshot.Queue()
_THROTTLE: Final = snapshot.Throttle()
_SUCCESS_RATE: Final = snapshot.SuccessRate()
_SHEDDING: Final = snapshot.Shedding()
_ADMISSION: Final = snapshot.Admission()


def _switched(value: Any) -> Any:
    """``on`` stands for the defaults, ``off`` for nothing."""
    if value in (True, "on"):
        return {}
    return None if value in (False, "off") else value


class CircuitBreaker(Section):
    """Each worker stops sending to an endpoint that fails again and again, and then tries a few
    requests before it trusts the endpoint again."""

    failures: PositiveCount = setting(
        _BREAKER.failures, "Consecutive failures that open the circuit."
    )
    open: PositiveDuration = setting(
        _BREAKER.open_s, "How long it stays open at first; doubled after each failed trial."
    )
    max_open: PositiveDuration = setting(_BREAKER.max_open_s, "Longest time that it stays open.")
    trials: PositiveCount = setting(
        _BREAKER.trials,
        "Trial requests at a time in the half-open state; as many successes close the circuit.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> "CircuitBreaker":
        if self.max_open < self.open:
            raise ValueError("`max_open` is shorter than `open`")
        return self

    def compiled(self) -> snapshot.Breaker:
        """As a pool's rules take it."""
        return plain(snapshot.Breaker, self)


BreakerOrOff = Annotated[
    CircuitBreaker | None,
    BeforeValidator(_switched, json_schema_input_type=bool | str | CircuitBreaker | None),
]


class Codel(Section):
    """Drops from a queue that stands (RFC 8289)."""

    target: PositiveDuration = setting(_CODEL.target_s, "Acceptable wait.")
    interval: PositiveDuration = setting(
        _CODEL.interval_s, "How long waits must exceed the target before a request is dropped."
    )


CodelOrOff = Annotated[
    Codel | None, BeforeValidator(_switched, json_schema_input_type=bool | str | Codel | None)
]


class Queue(Section):
    """Requests wait here when the limit or every endpoint's `max_in_flight` is reached; over all
    workers the first goes first. A number stands for its `length`."""

    length: PositiveCount = setting(
        _QUEUE.length, "Most requests that may wait, in all workers together."
    )
    timeout: PositiveDuration = setting(_QUEUE.timeout_s, "Longest wait of a request.")
    newest_first_above: Share = setting(
        _QUEUE.newest_first_above,
        "Above this share of the length, the newest requests are served first, as their "
        "clients are still waiting. 1: never.",
    )
    codel: CodelOrOff = setting(None, "Drop requests from a queue that stands (CoDel).")
    while_down: Literal["refuse", "wait"] = setting(
        _QUEUE.while_down,
        "What happens to requests that arrive while no endpoint for them is up: refused at "
        "once, or queued as well. Requests already queued wait until their timeout.",
    )
    patience: Duration = setting(
        _QUEUE.patience_s,
        "How long requests of a priority may be passed over by more important ones: then one of "
        "them goes first. 0: for as long as they wait.",
    )
    prefix_credit: Count = setting(
        _QUEUE.prefix_credit,
        "Tokens in an engine's cache for which a tenant's request may go before its turn.",
    )
    preemptions: Annotated[Count, Field(le=16)] = setting(
        _QUEUE.preemptions,
        "How often a request may lose its place to a more important one that would wait. Only "
        "streamed answers of language models without a token yet lose it, and only if they may "
        "be asked for again. 0: none does.",
    )


def _queue(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return {"length": value}
    return _switched(value)


QueueOrOff = Annotated[
    Queue | None,
    BeforeValidator(_queue, json_schema_input_type=bool | int | str | Queue | None),
]


class Throttle(Section):
    """Refuses in proportion to what the endpoints refuse (answers 429 or 503, or none)."""

    k: Annotated[Factor, Field(ge=1)] = setting(
        _THROTTLE.k, "Requests sent per accepted one before the balancer refuses any."
    )
    window: PositiveDuration = setting(_THROTTLE.window_s, "Time over which requests are counted.")


ThrottleOrOff = Annotated[
    Throttle | None,
    BeforeValidator(_switched, json_schema_input_type=bool | str | Throttle | None),
]


class SuccessRate(Section):
    """Refuses in proportion to how far the rate of success falls short (Envoy's admission
    control)."""

    threshold: Annotated[Share, Field(gt=0)] = setting(
        _SUCCESS_RATE.threshold, "Success rate below which requests are refused."
    )
    aggression: Annotated[Factor, Field(gt=0)] = setting(
        _SUCCESS_RATE.aggression, "Values above 1 refuse more at the same success rate."
    )
    window: PositiveDuration = setting(
        _SUCCESS_RATE.window_s, "Time over which requests are counted."
    )
    max_refusal: Share = setting(_SUCCESS_RATE.max_refusal, "Largest share of requests to refuse.")
    min_rate: Factor = setting(
        _SUCCESS_RATE.min_rate, "Requests a second below which none is refused."
    )


SuccessRateOrOff = Annotated[
    SuccessRate | None,
    BeforeValidator(_switched, json_schema_input_type=bool | str | SuccessRate | None),
]


class Shedding(Section):
    """Under overload refuses the least important requests (DAGOR). Needs a `queue`."""

    levels: Annotated[PositiveCount, Field(le=1024)] = setting(
        _SHEDDING.levels, "Number of priorities."
    )
    mean_wait: PositiveDuration = setting(
        _SHEDDING.mean_wait_s, "Mean wait in the queue above which the pool counts as overloaded."
    )


SheddingOrOff = Annotated[
    Shedding | None,
    BeforeValidator(_switched, json_schema_input_type=bool | str | Shedding | None),
]


def parse_limit(value: object) -> snapshot.LimitChoice | None:
    """A limit's name, or a mapping of ``name`` and options. Raises ValueError."""
    if value is None or isinstance(value, snapshot.LimitChoice):
        return value
    if value in (False, "off"):
        return None
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise ValueError(f"a limit's name or a mapping with `name` is needed, not {show(value)}")
    name = value["name"]
    given = {key: value[key] for key in value if key != "name"}
    known = limits()[name].options if name in limits() else ()
    typed = typed_options(known, given)
    create_limit(name, typed)
    options = {each.name: each.check(typed[each.name]) for each in known if each.name in typed}
    return snapshot.LimitChoice(name, options)


class _LimitSchema:
    """Makes the schema of a limit from the limits there are."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "title": "Limit",
            "description": "A limit on concurrency: its name, or its name and options.",
            "anyOf": [
                {"const": "off"},
                {"type": "null"},
                *choice_schema((name, "", cls.options) for name, cls in limits().items()),
            ],
        }


Limit = Annotated[
    snapshot.LimitChoice | None,
    PlainValidator(parse_limit),
    PlainSerializer(lambda choice: None if choice is None else spell_choice(choice)),
    _LimitSchema(),
]


class Admission(Section):
    """Who goes on at once, who waits and who is turned away with 503, before an endpoint is
    chosen. Limit and queue are one over all workers."""

    limit: Limit = setting(
        None,
        "Adaptive limit on requests in flight: `aimd`, `gradient`, `gradient2` or `vegas`.",
    )
    queue: QueueOrOff = setting(None, "Let requests wait for room.")
    throttle: ThrottleOrOff = setting(None, "Send fewer requests to endpoints that refuse them.")
    success_rate: SuccessRateOrOff = setting(None, "Send fewer requests to endpoints that fail.")
    shedding: SheddingOrOff = setting(None, "Refuse the least important requests under overload.")
    priority_header: Token | None = setting(
        None,
        "Header with a request's priority: 0 (most important) to 1023, or one of `priorities`.",
    )
    priority_clients: OneOrMany[Network] = setting(
        _ADMISSION.priority_clients,
        "Networks of the clients whose header counts. Default: it counts from trusted proxies and, "
        "within their class, tenants; anybody else can only say that a request is less important.",
    )
    priorities: dict[Name, Priority] = setting(
        {}, "Priority classes by their names, which tenants' `priority` and the header may say."
    )
    default_priority: Priority = setting(
        _ADMISSION.default_priority, "Priority of requests of which nothing tells it."
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Admission":
        if self.shedding is not None and self.queue is None:
            raise ValueError("`shedding` needs a `queue`: waiting there is how it sees overload")
        tells = self.priority_header is not None or len(self.priorities) > 0
        if self.shedding is not None and not tells:
            raise ValueError(
                "`shedding` needs a `priority_header` or `priorities`: without them all are equal"
            )
        if self.priority_clients and self.priority_header is None:
            raise ValueError("`priority_clients` are of a `priority_header`, and none is named")
        return self

    def compiled(self) -> snapshot.Admission:
        """As the snapshot has it."""
        queue = self.queue
        return plain(
            snapshot.Admission,
            self,
            queue=queue
            and plain(
                snapshot.Queue, queue, codel=queue.codel and plain(snapshot.CoDel, queue.codel)
            ),
            throttle=self.throttle and plain(snapshot.Throttle, self.throttle),
            success_rate=self.success_rate and plain(snapshot.SuccessRate, self.success_rate),
            shedding=self.shedding and plain(snapshot.Shedding, self.shedding),
            priority_header=(self.priority_header or "").lower(),
            priorities=dict(self.priorities),
        )
