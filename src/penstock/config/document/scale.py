"""The document's part about scaling: how many endpoints a pool is to have, and who starts them."""

import re
import shlex
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    model_validator,
)

from penstock.config.document.addresses import Address, parse_host
from penstock.config.document.discover import check_access, parse_http_url
from penstock.config.document.paths import parse_path
from penstock.config.document.section import Section, plain, required, setting
from penstock.config.document.show import show
from penstock.config.document.values import (
    Count,
    Duration,
    Factor,
    ListenAddress,
    OneOrMany,
    PositiveCount,
    PositiveDuration,
    Share,
    parse_name,
)
from penstock.core import snapshot
from penstock.core.snapshot.address import socket_path

_SCALE: Final = snapshot.Scale(max=1)
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME: Final = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])")
_PORTS: Final = re.compile(r"([0-9]{1,5})-([0-9]{1,5})")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OFF: Final = "off"


def _parse_time(value: object) -> float:
    """Seconds of the day. Raises ValueError."""
    found = _TIME.fullmatch(str(value))
    seconds = int(found[1]) * 3600 + int(found[2]) * 60 if found is not None else 86401
    if seconds > 86400:
        raise ValueError(f'a time such as `"08:30"` is needed, in quotes, not {show(value)}')
    return float(seconds)


def _spell_time(seconds: float) -> str:
    return f"{int(seconds) // 3600:02}:{int(seconds) // 60 % 60:02}"


def _parse_day(value: object) -> int:
    if not isinstance(value, str) or value.lower()[:3] not in _DAYS:
        raise ValueError(f"a day such as mon or sunday is needed, not {show(value)}")
    return _DAYS.index(value.lower()[:3])


def _parse_ports(value: object) -> tuple[int, int]:
    found = _PORTS.fullmatch(str(value))
    if found is None or not 0 < int(found[1]) <= int(found[2]) <= 65535:
        raise ValueError(f"a range of ports such as 9000-9031 is needed, not {show(value)}")
    return int(found[1]), int(found[2])


def _parse_command(value: object) -> object:
    """One text is split into words as a shell would, and given to none."""
    words = shlex.split(value) if isinstance(value, str) else value
    if not words:
        raise ValueError("a command is needed, such as `[vllm, serve, MODEL, --port, {port}]`")
    return words


def _parse_variable(value: str) -> str:
    if not _VARIABLE.fullmatch(value):
        raise ValueError(f"the name of a variable is needed, such as HF_HOME, not {show(value)}")
    return value


Command = Annotated[
    tuple[str, ...],
    BeforeValidator(_parse_command, json_schema_input_type=str | list[str]),
]
Environment = dict[Annotated[str, AfterValidator(_parse_variable)], str]
TimeOfDay = Annotated[
    float,
    PlainValidator(_parse_time, json_schema_input_type=str),
    PlainSerializer(_spell_time, return_type=str),
]
Day = Annotated[
    int,
    PlainValidator(_parse_day, json_schema_input_type=str),
    PlainSerializer(lambda day: _DAYS[day], return_type=str),
]


def _ready(value: object) -> str:
    if value == "tcp":
        return "tcp"
    return parse_path(value)


class Process(Section):
    """Starts and stops local commands. Ends nothing that it did not start."""

    command: Command = required(
        "What is started, without a shell. `{port}` becomes its port, `{name}` its name."
    )
    ports: Annotated[tuple[int, int], PlainValidator(_parse_ports, json_schema_input_type=str)] = (
        required("A range such as `9000-9031`; each endpoint gets one that is free.")
    )
    host: Annotated[str, PlainValidator(parse_host, json_schema_input_type=str)] = setting(
        "127.0.0.1", "Where it listens."
    )
    ready: Annotated[str, PlainValidator(_ready, json_schema_input_type=str)] = setting(
        "/health", "A path that answers 2xx once it serves, or `tcp`: that it can be connected to."
    )
    environment: Environment = setting({}, "Added to this process's own.")
    directory: str | None = setting(None, "Where it runs. Default: where the balancer does.")
    log: str | None = setting(
        None, "A file for what they write; `{name}` becomes the name. Default: nowhere."
    )
    kill_after: PositiveDuration = setting(
        30.0, "After SIGTERM, when it is empty and yet does not end."
    )


class Docker(Section):
    """Starts and stops containers of a Docker engine: those that it labels, and no others."""

    image: str = required("What is run; the engine must have it.")
    port: Annotated[int, Field(ge=1, le=65535)] = required("Where it listens in the container.")
    command: Command = setting((), "In place of the image's own.")
    environment: Environment = setting({}, "Of the container.")
    network: str = setting("bridge", "The network in which the balancer reaches it.")
    gpus: int = setting(0, "How many it gets; -1: all.", ge=-1)
    ready: Annotated[str, PlainValidator(_ready, json_schema_input_type=str)] = setting(
        "/health", "A path that answers 2xx once it serves, or `tcp`: that it can be connected to."
    )
    socket: str = setting("/var/run/docker.sock", "The engine's.")
    kill_after: PositiveDuration = setting(
        30.0, "After SIGTERM, when it is empty and yet does not end."
    )


class CommandActuator(Section):
    """Runs a command of yours, which starts and stops them: docs/scaling.md has the contract."""

    command: Command = required("What is run, without a shell; what is to be done is added.")
    timeout: PositiveDuration = setting(60.0, "After which it is ended, with all that it started.")
    environment: Environment = setting({}, "Added to this process's own.")
    directory: str | None = setting(None, "Where it runs. Default: where the balancer does.")


class Kubernetes(Section):
    """Changes the number of replicas of a Deployment or StatefulSet, whose pods the pool finds by
    `discover: {kubernetes: …}`. They stay when Penstock ends."""

    deployment: Annotated[str, PlainValidator(parse_name, json_schema_input_type=str)] | None = (
        setting(None, "The name of a Deployment. Either this or `statefulset`.")
    )
    statefulset: Annotated[str, PlainValidator(parse_name, json_schema_input_type=str)] | None = (
        setting(None, "The name of a StatefulSet.")
    )
    namespace: str = setting("", "Its namespace. Default: that of the pod that Penstock runs in.")
    server: Annotated[str, PlainValidator(parse_http_url, json_schema_input_type=str)] | None = (
        setting(None, "The API server. Default: that of the cluster that Penstock runs in.")
    )
    token_file: str | None = setting(
        None, "The file of a bearer token, read again for every request. Default: the pod's."
    )
    ca_file: str | None = setting(
        None, "The authorities that its certificate may be of. Default: the pod's."
    )
    kubeconfig: str | None = setting(
        None,
        "A kubeconfig file, in place of `server`, `token_file` and `ca_file`. Commands that it "
        "names are not run.",
    )
    context: str = setting("", "A context of it. Default: its current one.")

    @model_validator(mode="after")
    def _one_workload(self) -> Self:
        check_access(self)
        if (self.deployment is None) == (self.statefulset is None):
            raise ValueError("give one of `deployment` and `statefulset`")
        return self


class Aws(Section):
    """Changes the desired capacity of an Auto Scaling group of AWS, of which each instance is an
    endpoint. They stay when Penstock ends. Credentials are found as AWS's tools find them."""

    group: Annotated[str, Field(min_length=1)] = required("The name of the Auto Scaling group.")
    port: Annotated[int, Field(ge=1, le=65535)] = required("Where its instances listen.")
    region: str | None = setting(
        None, "Such as `eu-central-1`. Default: as AWS's tools have it (`AWS_REGION`)."
    )
    ready: Annotated[str, PlainValidator(_ready, json_schema_input_type=str)] = setting(
        "/health", "A path that answers 2xx once it serves, or `tcp`: that it can be connected to."
    )
    url: Annotated[str, PlainValidator(parse_http_url, json_schema_input_type=str)] | None = (
        setting(None, "In place of AWS's own, such as a VPC endpoint.")
    )


class Window(Section):
    """Other bounds for some hours of some days."""

    days: OneOrMany[Day] = setting(tuple(range(7)), "Such as `[mon, tue]`. Default: all.")
    begin: TimeOfDay = setting(0.0, 'Such as `"08:30"`, by the clock of this machine.')
    end: TimeOfDay = setting(86400.0, "Before `begin`: on the next day.")
    min: Count = setting(0, "The fewest endpoints then.")
    max: Count = setting(0, "The most endpoints then. 0: as always.")

    def compiled(self) -> snapshot.ScaleWindow:
        """As the snapshot has it."""
        return plain(snapshot.ScaleWindow, self, from_s=self.begin, to_s=self.end)


def _has_port(address: Address) -> Address:
    if socket_path(address.host):
        raise ValueError(f"{address}: KEDA asks at a host and a port, as 0.0.0.0:9910")
    return address


class Publish(Section):
    """The number is published, and others act on it."""

    keda: Annotated[ListenAddress, AfterValidator(_has_port)] | None = setting(
        None,
        "`host:port` at which KEDA's external scaler is served over gRPC. Whoever reaches it can "
        "read how many endpoints scaled pools want, and nothing else.",
    )


ACTUATORS: Final = ("process", "docker", "kubernetes", "aws", "command")  # keys of ``Scale``


class Scale(Section):
    """How many endpoints there are to be, and who starts and stops them: one of `process`,
    `docker`, `kubernetes`, `aws`, `command` and `publish`; without one the number is published as a
    metric and nothing else is done."""

    max: PositiveCount = required("The most endpoints, those of `endpoints` included.")
    min: Count = setting(
        _SCALE.min,
        "The fewest. 0: without requests for `idle` there is none, and the first request waits in "
        "the queue until one has started.",
    )
    mode: Literal["act", "advise"] = setting(
        _SCALE.mode, "`advise`: only say what would be done, and what that would have changed."
    )
    process: Process | None = setting(None, "Local commands.")
    docker: Docker | None = setting(None, "Containers of a Docker engine.")
    kubernetes: Kubernetes | None = setting(None, "A Deployment or StatefulSet.")
    aws: Aws | None = setting(None, "An Auto Scaling group of AWS.")
    command: CommandActuator | None = setting(None, "A command of yours.")
    publish: Publish | None = setting(None, "Others, who are told the number.")
    concurrency: Count = setting(
        _SCALE.concurrency,
        "Requests that an endpoint serves at a time. Needed but for pools of kind `llm` whose "
        "policy learns a model of engines.",
    )
    max_in_flight: Count = setting(0, "Of each endpoint that is started; 0: no bound.")
    late: Share = setting(
        _SCALE.late_share,
        "The share of requests that may wait for a place, or miss `ttft`.",
        gt=0,
        lt=1,
    )
    ttft: Duration = setting(_SCALE.ttft_s, "Objective of the time to first token. 0: none.")
    token_time: Duration = setting(_SCALE.token_s, "Objective of the time per token. 0: none.")
    spare: Factor = setting(
        _SCALE.spare, "Capacity kept free for what nobody foresees, as a share of the load."
    )
    quantile: Share = setting(
        _SCALE.quantile, "Of the pool's `forecast`: the load stays under it with this probability."
    )
    start_time: PositiveDuration = setting(
        _SCALE.start_time_s, "How long a start takes, until some were seen."
    )
    start_quantile: Share = setting(
        _SCALE.start_quantile, "Of the start times seen: how far ahead a need is looked for."
    )
    start_timeout: PositiveDuration = setting(
        _SCALE.start_timeout_s, "After which a start has failed, and is stopped."
    )
    cool_down: Duration = setting(
        _SCALE.cool_down_s, "After endpoints were added, and a start time, before any is removed."
    )
    step_up: Count = setting(_SCALE.step_up, "Most endpoints added at once. 0: no bound.")
    step_down: Count = setting(_SCALE.step_down, "Most endpoints removed at once. 0: no bound.")
    idle: PositiveDuration = setting(
        _SCALE.idle_s, "Without a request, before the last endpoint is removed (`min: 0`)."
    )
    drain: Duration = setting(
        _SCALE.drain_s,
        "How long streams of an endpoint that is to be removed are waited for. `off`: for ever.",
    )
    interval: PositiveDuration = setting(_SCALE.interval_s, "Between two looks at the load.")
    windows: OneOrMany[Window] = setting((), "Other bounds for some hours of some days.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.max < self.min:
            raise ValueError(f"`min` is {self.min}, and `max` {self.max}")
        for window in self.windows:
            if max(window.min, window.max) > self.max:
                raise ValueError(f"a window asks for more than `max`, {self.max}")
        given = [name for name in (*ACTUATORS, "publish") if getattr(self, name) is not None]
        if len(given) > 1:
            names = "` and `".join(given)
            raise ValueError(f"give one of `{names}`: only one can start endpoints")
        return self

    def actuator(self) -> snapshot.ActuatorChoice:
        """Who starts and stops endpoints."""
        for name in ACTUATORS:
            section = getattr(self, name)
            if section is not None:
                # As values, not as the document spells them; tuples are lists over JSON.
                options = {key: getattr(section, key) for key in type(section).model_fields}
                lists = {key: list(v) for key, v in options.items() if isinstance(v, tuple)}
                return snapshot.ActuatorChoice(name, options | lists)
        if self.publish is not None and self.publish.keda is not None:
            keda = self.publish.keda
            return snapshot.ActuatorChoice("publish", {"host": keda.host, "port": keda.port})
        return snapshot.ActuatorChoice()

    def compiled(self) -> snapshot.Scale:
        """As the snapshot has it."""
        return plain(
            snapshot.Scale,
            self,
            actuator=self.actuator(),
            late_share=self.late,
            token_s=self.token_time,
            windows=tuple(window.compiled() for window in self.windows),
        )


ScaleOrOff = Annotated[
    Scale | None,
    BeforeValidator(
        lambda value: None if value in (False, OFF) else value,
        json_schema_input_type=Scale | bool | Literal["off"] | None,
    ),
]
