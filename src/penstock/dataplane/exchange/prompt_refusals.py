"""What is answered where a request asks a language model for what nobody here has, or may do."""

from typing import Final

from penstock.dataplane.exchange import answers
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.route.plan import PoolPlan

# It would have an engine connect with a host of the client's choice.
TRANSFER: Final = "`%s` is between engines, and not for clients to set: leave it out"

# To the supervisor's log, of a pool and its endpoint.
REFUSES_USAGE: Final = (
    "endpoint %s/%s refuses requests that ask for usage (`stream_options`): its streams are not "
    "asked for it; `usage: asked` says so from the start"
)


def missing_model(plan: PoolPlan, model: str, request_id: bytes) -> Answer:
    """No endpoint of the pool is known to serve it."""
    shown = model[: answers.MAX_NAME_SHOWN]
    if plan.pool.awaited() is not None:
        return answers.refusal(
            503,
            f"the model `{shown}` is not known yet: not every endpoint has listed its models",
            request_id=request_id,
            retry_after_s=1,
            family=plan.family,
        )
    known = plan.pool.known_models()
    told = answers.unknown_model(model, known, family=plan.family, request_id=request_id)
    told.why = f"no endpoint of pool {plan.pool.name} serves the model {shown}"
    return told


def no_memory(plan: PoolPlan, request_id: bytes) -> Answer:
    """A body that must be read cannot be kept."""
    return answers.refusal(
        503,
        "no memory is left to read prompts",
        request_id=request_id,
        retry_after_s=1,
        kind="overloaded",
        family=plan.family,
    )
