"""Whether another attempt may follow one that failed, by ``core.attempts`` and ``core.retry``.

A retry goes back to *eligible*, never after a byte of a response has gone to the client.
"""

from penstock.core.attempts import OVER_BUDGET, Attempts, Failure
from penstock.core.env import Env
from penstock.core.retry import IDEMPOTENT_METHODS, REFUSALS
from penstock.core.ticket import RESET
from penstock.dataplane.board.layout import P_RETRIES_DENIED
from penstock.dataplane.context import Context
from penstock.dataplane.endpoint.stream import EndpointStream
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.body import RequestBody
from penstock.dataplane.exchange.inspection import Inspection
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.route.plan import PoolPlan


def is_stale(stream: EndpointStream | None, outcome: int, body: RequestBody, method: bytes) -> bool:
    """A reused connection that died before any response byte: the endpoint had closed it.

    It may have begun the request all the same, unless the connection shows that it did not.
    """
    return (
        outcome == RESET
        and stream is not None
        and stream.was_reused()
        and not stream.was_answered()
        and body.replayable
        and (method in IDEMPOTENT_METHODS or stream.never_arrived())
    )


def may_follow(
    attempts: Attempts,
    plan: PoolPlan,
    attempt: Attempt,
    stream: EndpointStream | None,
    outcome: int,
    status: int,
    model: str,
    inspection: Inspection | None,
    env: Env,
    grpc_status: int,
) -> bool:
    """Whether another attempt is safe, possible, and within the rules and the budget.

    ``stream``: the one that failed. ``status``: of its response; 0 without one. ``grpc_status``: of
    a call that ended without a message; -1 for all else.
    """
    pool = plan.pool
    silent = status == 0 and (stream is None or not stream.was_answered())
    harmless = silent and inspection is not None and inspection.is_harmless()
    failure = Failure(
        attempt.endpoint,
        outcome,
        status,
        timed_out=stream is not None and stream.ran_out_of_time(),
        sent=attempt.sent and (stream is None or not stream.never_arrived()),
        safe=plan.repeats_sent or harmless,
        refused=status in REFUSALS and pool.learning is not None,
        grpc_status=grpc_status,
    )
    asking = inspection.asking if inspection is not None else None
    why_not = attempts.failed(failure, model, asking.asked if asking is not None else "", env)
    if why_not == OVER_BUDGET:
        pool.counters.bump(P_RETRIES_DENIED)
    return not why_not


def may_be_sent_again(
    context: Context, plan: PoolPlan, inspection: Inspection | None, endpoint: LiveEndpoint
) -> bool:
    """Whether a body that was sent is to be kept until the answer begins.

    One that only might be lost with its endpoint gives way to prompts that are yet to be read.
    """
    if plan.repeats_sent or plan.repeats_calls:
        return True
    prompt = inspection.prompt if inspection is not None else None
    if inspection is None or prompt is None:
        return False
    if prompt.asks_usage and endpoint.habits.usage.may_refuse(prompt.found.api):
        return True
    return inspection.is_harmless() and context.prompt_bytes * 2 <= context.prompt_room
