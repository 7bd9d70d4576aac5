"""What does not fit together in a pool's ``scale``."""

from importlib.util import find_spec
from pathlib import Path

from msgspec.structs import replace

from penstock.config.document.pools import Pool, default_policy
from penstock.config.document.scale import Scale
from penstock.config.load.errors import Location
from penstock.config.load.findings import Findings
from penstock.config.load.kubeconfig import read_kubeconfig
from penstock.core import snapshot
from penstock.core.policy import policy_class
from penstock.core.policy.support.fitted import FittedPolicy


def compile_scale(pool: Pool, at: Location, findings: Findings) -> snapshot.Scale | None:
    """The rules, and what is wrong with them noted."""
    scale = pool.scale
    if scale is None:
        return None
    at = (*at, "scale")
    _check_capacity(pool, scale, at, findings)
    _check_waiting(pool, scale, at, findings)
    if any(endpoint.url.protocol != "http" for endpoint in pool.endpoints):
        findings.wrong(
            at, "only pools of http:// endpoints are scaled; connections and datagrams are not yet"
        )
    fixed = len(pool.endpoints)
    if fixed > scale.max:
        findings.wrong((*at, "max"), f"is {scale.max}, and {fixed} `endpoints` are listed")
    elif scale.process is not None and fixed == scale.max:
        findings.wrong(
            (*at, "max"),
            f"is {scale.max}, and as many `endpoints` are listed: none could be started",
        )
    if scale.process is not None:
        _check_process(scale, fixed, at, findings)
    if scale.kubernetes is not None:
        _check_kubernetes(pool, scale, at, findings)
    if scale.aws is not None and find_spec("boto3") is None:
        findings.wrong(
            (*at, "aws"), "the library for it is missing: `pip install 'penstock-lb[aws]'`"
        )
    return _with_paths(scale.compiled(), at, findings)


def _with_paths(compiled: snapshot.Scale, at: Location, findings: Findings) -> snapshot.Scale:
    """Paths are relative to the document."""
    options = dict(compiled.actuator.options)
    for key in ("directory", "log", "token_file", "ca_file", "kubeconfig"):
        if options.get(key):
            options[key] = str(findings.path(options[key]))
    if options.get("kubeconfig"):
        with findings.noting((*at, "kubernetes", "kubeconfig")):
            read_kubeconfig(Path(options["kubeconfig"]), options["context"])
    directory = options.get("directory")
    if directory and not Path(directory).is_dir():
        name = compiled.actuator.name
        findings.wrong((*at, name, "directory"), f"{directory} is no directory")
    return replace(compiled, actuator=replace(compiled.actuator, options=options))


def _check_capacity(pool: Pool, scale: Scale, at: Location, findings: Findings) -> None:
    choice = pool.policy or default_policy(pool.kind)
    fitted = pool.kind == "llm" and issubclass(policy_class(choice.name), FittedPolicy)
    if not scale.concurrency and not fitted:
        if pool.kind == "llm":
            findings.wrong(
                at,
                f"the policy {choice.name!r} learns no model of engines: write `policy: "
                "marginal-cost`, or `concurrency`, the requests that an engine serves at a time",
            )
        else:
            findings.wrong(
                at,
                "say how many requests an endpoint serves at a time, such as `concurrency: 8`: "
                "nobody can tell otherwise when it is full",
            )
    for key in ("ttft", "token_time"):
        if key in scale.model_fields_set and (not fitted or scale.concurrency):
            why = "`concurrency` is given" if scale.concurrency else "the pool is not of kind llm"
            if pool.kind == "llm" and not scale.concurrency:
                why = f"the policy {choice.name!r} learns no model of engines"
            findings.wrong((*at, key), f"has no effect: {why}")
    if fitted and not scale.concurrency and not (scale.ttft or scale.token_time):
        findings.doubtful(
            at,
            "no objective is given, so there are just as many engines as do not fall behind: give "
            "`ttft` or `token_time`",
        )


def _check_waiting(pool: Pool, scale: Scale, at: Location, findings: Findings) -> None:
    if scale.min > 0 or pool.endpoints:
        return
    queue = pool.admission.compiled().queue
    if queue is None or queue.while_down != "wait":
        findings.wrong(
            (*at, "min"),
            "with 0 the first request has nobody to go to: let it wait by `admission: {queue: "
            "{while_down: wait, timeout: 2m}}`, or write `min: 1`",
        )
    elif queue.timeout_s < scale.start_time:
        findings.doubtful(
            (*at, "min"),
            f"requests wait for at most {queue.timeout_s:g} s in `admission: {{queue: {{timeout}}}}"
            f"`, and a start is said to take {scale.start_time:g} s: those that begin with no "
            "endpoint will be refused",
        )


def _check_process(scale: Scale, fixed: int, at: Location, findings: Findings) -> None:
    assert scale.process is not None
    first, last = scale.process.ports
    ports = last - first + 1
    if ports < scale.max - fixed:
        findings.wrong(
            (*at, "process", "ports"),
            f"are {ports}, and up to {scale.max - fixed} endpoints are to be started",
        )
    if not any("{port}" in word for word in scale.process.command) and "PORT" not in str(
        scale.process.environment
    ):
        findings.wrong(
            (*at, "process", "command"),
            "has no `{port}`: an endpoint would not know where to listen",
        )


def _check_kubernetes(pool: Pool, scale: Scale, at: Location, findings: Findings) -> None:
    if not any(each.kubernetes is not None for each in pool.discover):
        findings.wrong(
            (*at, "kubernetes"),
            "its pods are found by nobody: add `discover: {kubernetes: SERVICE}` to the pool, with "
            "the Service that selects them",
        )
    if scale.max_in_flight:
        findings.wrong(
            (*at, "max_in_flight"), "has no effect: endpoints are as `discover` finds them"
        )
