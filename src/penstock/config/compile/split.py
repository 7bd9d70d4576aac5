"""A pool whose prompts are computed by some of its endpoints and answered by the others: two pools
of the snapshot, each with a policy, load and metrics of its own."""

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from penstock.config.document.pools import Pool
from penstock.config.document.split import DECIDES, USUAL_THRESHOLD, Split
from penstock.config.load.errors import Location, did_you_mean
from penstock.config.load.findings import Findings
from penstock.core import snapshot
from penstock.core.snapshot.split import BY_COST

_SUFFIX = "-prefill"
_WITHOUT_EFFECT: Final = {
    "nixl": ("bootstrap_port", "bootstrap_ports", "engine_ids"),
    "sglang": ("threshold", "lease", "engine_ids"),
    "mooncake": ("lease",),
}
# What finds, starts or binds to endpoints by rules that know no halves, or asks two at once.
_OF_WHOLE_POOLS: Final = ("discover", "scale", "sticky", "hedge", "resume")


def halves_of(
    whole: snapshot.Pool,
    written: Pool,
    at: Location,
    taken: Mapping[str, object],
    findings: Findings,
) -> tuple[snapshot.Pool, ...]:
    """The pool that answers, and the one that computes for it. ``taken``: names of all pools."""
    split = written.split
    if split is None:
        return (whole,)
    at = (*at, "split")
    if whole.kind != "llm":
        findings.wrong(at, "has no effect: the pool is not of kind llm")
    for key in _OF_WHOLE_POOLS:
        if getattr(written, key):
            findings.wrong(at, f"does not go with `{key}`: name the endpoints of both halves")
    name = whole.name + _SUFFIX
    if name in taken:
        findings.wrong(at, f"another pool is called {name!r}, as the computing half would be")
    known = [endpoint.name for endpoint in whole.endpoints]
    decode = split.decode or [each for each in known if each not in split.prefill]
    for key, names in (("prefill", split.prefill), ("decode", decode)):
        for each in names:
            if each not in known:
                findings.wrong(
                    (*at, key), f"no endpoint is called {each!r}{did_you_mean(each, known)}"
                )
    for each in known:
        if (each in split.prefill) == (each in decode):
            findings.wrong(at, f"the endpoint {each} is to be in one of the two halves")
    if not decode:
        findings.wrong((*at, "decode"), "no endpoint is left to answer")
    _check_connector(split, at, findings)
    computing = replace(
        whole,
        name=name,
        endpoints=tuple(each for each in whole.endpoints if each.name in split.prefill),
        policy=split.policy or whole.policy,
        prefills_for=whole.name,
        shadow=(),
        decisions=snapshot.Decisions(),
        forecast=None,
    )
    answering = replace(
        whole,
        endpoints=tuple(each for each in whole.endpoints if each.name in decode),
        split=snapshot.Split(
            prefill=name,
            connector=split.connector,
            threshold=_threshold(split, whole.policy, at, findings),
            lease_s=split.lease,
            bootstrap_port=split.bootstrap_port,
            bootstrap_ports=dict(split.bootstrap_ports),
            engine_ids=dict(split.engine_ids),
        ),
    )
    return (answering, computing)


def _threshold(
    split: Split, policy: snapshot.PolicyChoice, at: Location, findings: Findings
) -> int:
    """In tokens, or that the policies decide."""
    if split.threshold != "auto":
        return split.threshold
    if split.connector == "mooncake":  # asked at once, halves do not tell what transfers take
        if "threshold" in split.model_fields_set:
            findings.wrong((*at, "threshold"), "`auto` does not go with `connector: mooncake`")
        return USUAL_THRESHOLD
    names = (policy.name, (split.policy or policy).name)
    if all([name == DECIDES for name in names]):
        return BY_COST
    if "threshold" in split.model_fields_set:
        other = names[0] if names[0] != DECIDES else names[1]
        findings.wrong(
            (*at, "threshold"),
            f"`auto` is decided by the policy {DECIDES!r} of both halves, and one has {other!r}: "
            "write a number of tokens",
        )
    return USUAL_THRESHOLD


def _check_connector(split: Split, at: Location, findings: Findings) -> None:
    """SGLang's halves do nothing alone, and those of NIXL meet nowhere."""
    for key in _WITHOUT_EFFECT[split.connector]:
        if key in split.model_fields_set:
            findings.wrong((*at, key), f"has no effect: `connector: {split.connector}`")
    for key, names in (
        ("bootstrap_ports", split.bootstrap_ports),
        ("engine_ids", split.engine_ids),
    ):
        for name in names:
            if name not in split.prefill:
                findings.wrong(
                    (*at, key, name),
                    f"{name!r} computes no prompts{did_you_mean(name, split.prefill)}",
                )


def routable(pools: Mapping[str, snapshot.Pool]) -> dict[str, snapshot.Pool]:
    """Those that requests may be sent to by their names."""
    return {name: pool for name, pool in pools.items() if not pool.prefills_for}
