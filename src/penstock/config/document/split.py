"""The document's part about prompts that other endpoints compute than answer."""

from typing import Annotated, Final, Literal

from pydantic import Field

from penstock.config.document.choice import Policy
from penstock.config.document.section import Section, required, setting
from penstock.config.document.values import Duration, OneOrMany, Port
from penstock.core import snapshot

_SPLIT: Final = snapshot.Split(prefill="")
DECIDES: Final = "marginal-cost"  # the policy that knows what either way costs
USUAL_THRESHOLD: Final = 1024


class Split(Section):
    """Two groups of the pool's endpoints: one computes prompts, the other answers."""

    prefill: OneOrMany[str] = required("Names of the endpoints that compute prompts.")
    decode: OneOrMany[str] = setting(
        (), "Names of those that answer. Default: all others of the pool."
    )
    connector: Literal["nixl", "sglang", "mooncake"] = setting(
        _SPLIT.connector,
        "How engines hand over KV caches. `nixl`: vLLM's NixlConnector; `mooncake`: its "
        "MooncakeConnector; `sglang`: SGLang's disaggregation. In the latter two both halves are "
        "asked at once.",
    )
    bootstrap_port: Port = setting(
        _SPLIT.bootstrap_port,
        "Of SGLang: the computing endpoints' `--disaggregation-bootstrap-port`; of Mooncake their "
        "`VLLM_MOONCAKE_BOOTSTRAP_PORT`.",
    )
    bootstrap_ports: dict[str, Port] = setting(
        {}, "Those of some of them, by the endpoints' names."
    )
    engine_ids: dict[str, str] = setting(
        {},
        "Of Mooncake: `engine_id` of computing endpoints' `--kv-transfer-config`, by the "
        "endpoints' names. Default: the name itself.",
    )
    threshold: Annotated[int, Field(ge=0)] | Literal["auto"] = setting(
        "auto",
        "A prompt is computed apart from so many tokens on that are not cached where it is "
        "answered; shorter ones run whole there. `auto`: where both halves have the policy "
        f"`{DECIDES}`, whichever way costs less, else from {USUAL_THRESHOLD} tokens on.",
    )
    lease: Duration = setting(
        _SPLIT.lease_s, "How long a computed prompt is kept for the other half, as engines do."
    )
    policy: Policy | None = setting(
        None, "How an endpoint is chosen that computes. Default: the pool's policy."
    )
