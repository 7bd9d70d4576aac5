"""What may follow an attempt that failed, by ``core.attempts`` and ``core.retry``.

A retry goes back to *eligible*, never after a byte of a response has gone to the client.
"""

from typing import Final

from penstock.core.attempts import Failure, may_generate_again
from penstock.core.retry import IDEMPOTENT_METHODS, REFUSALS
from penstock.core.ticket import ABANDONED, DONE, RESET
from penstock.dataplane.board.layout import P_NOT_RESUMED, RESUME_REFUSALS
from penstock.dataplane.context import Context
from penstock.dataplane.endpoint.stream import EndpointStream
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.body import RequestBody
from penstock.dataplane.exchange.dispatch import Dispatch
from penstock.dataplane.exchange.grpc_call import GrpcCall, may_be_made_again
from penstock.dataplane.exchange.inspection import Inspection
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.pool.live_pool import LivePool
from penstock.dataplane.route.plan import PoolPlan
from penstock.wire.http1 import Field

# What takes the place of an attempt that says nothing about its endpoint.
_NOTHING: Final = 0
_SAME_ENDPOINT: Final = 1  # on a fresh connection
_ANY_ENDPOINT: Final = 2


class Failover:
    """Of one exchange; made when an attempt of it failed, or was answered by what may be repeated.

    Where a method returns True, another attempt was begun, or none could be and the exchange knows.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        plan: PoolPlan,
        body: RequestBody,
        inspection: Inspection | None,
    ) -> None:
        self.dispatch: Dispatch = dispatch
        self.inspection: Inspection | None = inspection
        self.plan: PoolPlan = plan
        self.body: RequestBody = body

    def goes_on(
        self,
        attempt: Attempt,
        stream: EndpointStream | None,
        outcome: int,
        method: bytes,
        held: bool = False,
    ) -> bool:
        """Settle an attempt that failed before anything of its answer came, and make another, if
        that may be. ``stream``: that failed. ``outcome``: of ``core.ticket``. ``held``: what came
        of its answer brought no token, and was held back."""
        now = self.dispatch.context.env.now
        replacement = self._replacement(stream, outcome, method)
        if replacement == _NOTHING:
            attempt.settle(outcome, now)
            if not self.allows(attempt, stream, outcome, held=held):
                return False
            self._retry()
            return True
        attempt.settle(ABANDONED, now)  # it says nothing about the endpoint
        if replacement == _SAME_ENDPOINT:
            self.dispatch.try_again_at(attempt.endpoint)
        else:
            self.dispatch.pick()
        return True

    def repeats_call(
        self, attempt: Attempt, call: GrpcCall, trailers: list[Field], status: int
    ) -> bool:
        """Make a gRPC call that ended so, without a message, once more where its pool says so."""
        if not may_be_made_again(self.plan.pool.rules, status, trailers):
            return False
        if not self.allows(attempt, None, DONE, attempt.ticket.status, status):
            return False
        attempt.ticket.first_byte(self.dispatch.context.env.now)
        call.begin_anew()
        self.drop_and_retry(attempt)
        return True

    def why_never_resumed(self) -> str:
        """Why nobody goes on with a streamed answer that was cut and is not watched, as it may not
        be asked for again; "" of all others. It is counted here."""
        pool = self.dispatch.pool
        prompt = self.inspection.prompt if self.inspection is not None else None
        if pool.spec.resume is None or prompt is None or not prompt.found.stream:
            return ""
        why = ""
        if prompt.found.stays:
            why = "something of it stays behind at its endpoint (`store`, `background`)"
        elif prompt.found.runs_tools:
            why = "its server carries out tools itself"
        if why:
            pool.counters.bump(P_NOT_RESUMED + RESUME_REFUSALS.index("request"))
        return why

    def asks_plainly(self, attempt: Attempt) -> bool:
        """Send the request without what was asked for in the client's stead, if that may be why it
        was refused. Nothing was done for it yet."""
        inspection = self.inspection
        if inspection is None or not self.body.complete:
            return False
        if not inspection.ask_again_plainly(attempt.endpoint):
            return False
        attempt.drop()
        self.dispatch.attempt_number += 1
        self.dispatch.try_again_at(attempt.endpoint)
        return True

    def may_replace_late(self, attempt: Attempt, outcome: int) -> bool:
        """Whether another endpoint may be asked in place of one that has no token in time; the
        retry budget has then been charged for it."""
        return self.allows(attempt, None, outcome, late=True)

    def replace_late(self, attempt: Attempt, outcome: int) -> None:
        """Give it up, and ask another."""
        attempt.give_up()
        attempt.settle(outcome, self.dispatch.context.env.now)
        self._retry()

    def drop_and_retry(self, attempt: Attempt) -> None:
        """Nobody gets what the endpoint answered: another one is asked."""
        attempt.drop()
        self._retry()

    def _replacement(self, stream: EndpointStream | None, outcome: int, method: bytes) -> int:
        """What takes the place of an attempt on a connection that was closed before, or of a
        stream that its endpoint did not process."""
        if stream is None or not self.body.replayable:
            return _NOTHING
        if _is_stale(stream, outcome, method) and self.dispatch.tries().replaces_stale():
            return _SAME_ENDPOINT
        if stream.never_arrived() and self.dispatch.tries().replaces_refused():
            return _ANY_ENDPOINT
        return _NOTHING

    def allows(
        self,
        attempt: Attempt,
        stream: EndpointStream | None,
        outcome: int,
        status: int = 0,
        grpc_status: int = -1,
        *,
        held: bool = False,
        late: bool = False,
    ) -> bool:
        """Whether another attempt is safe, possible, and within the rules and the budget.

        ``stream``: the one that failed. ``status``: of its response; 0 without one.
        ``grpc_status``: of a call that ended without a message; -1 for all else. ``held``: as in
        ``goes_on``. ``late``: it has no token in time, and runs yet.
        """
        if not self.body.replayable:
            return False
        inspection = self.inspection
        plan = self.plan
        silent = status == 0 and (held or stream is None or not stream.was_answered())
        harmless = silent and is_harmless(plan, inspection, leaves=late)
        failure = Failure(
            attempt.endpoint,
            outcome,
            status,
            timed_out=stream is not None and stream.ran_out_of_time(),
            sent=attempt.sent and (stream is None or not stream.never_arrived()),
            safe=plan.repeats_sent or harmless,
            refused=status in REFUSALS and plan.pool.learning is not None,
            grpc_status=grpc_status,
            late=late,
        )
        asking = inspection.asking if inspection is not None else None
        return not self.dispatch.why_not(failure, asking.asked if asking is not None else "")

    def _retry(self) -> None:
        """Another endpoint is asked; another model may stand in."""
        dispatch = self.dispatch
        inspection = self.inspection
        if inspection is not None and dispatch.attempts is not None:
            inspection.fall_back(dispatch.attempts)
            dispatch.request = inspection.request
        dispatch.retry()


def _is_stale(stream: EndpointStream, outcome: int, method: bytes) -> bool:
    """A reused connection that died before any response byte: the endpoint had closed it.

    It may have begun the request all the same, unless the connection shows that it did not.
    """
    return (
        outcome == RESET
        and stream.was_reused()
        and not stream.was_answered()
        and (method in IDEMPOTENT_METHODS or stream.never_arrived())
    )


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
    if inspection.ids is not None and endpoint.habits.ids.may_refuse(prompt.found.api):
        return True
    return is_harmless(plan, inspection) and context.prompt_bytes * 2 <= context.prompt_room


def is_watched(
    pool: LivePool,
    plan: PoolPlan,
    body: RequestBody,
    inspection: Inspection | None,
    *,
    is_call: bool,
) -> bool:
    """Whether attempts of such a request are watched (``steady.py``) in pools that do: it may be
    sent again, being a streamed generation or what else may be. ``is_call``: of gRPC."""
    if streams_harmlessly(plan, inspection):
        return True
    return (
        pool.learning is None
        and plan.repeats_sent
        and body.complete
        and not is_call
        and plan.upgrade is None
    )


def is_harmless(plan: PoolPlan, inspection: Inspection | None, *, leaves: bool = False) -> bool:
    """Whether it asks for a generation that may be begun again, see ``may_generate_again``."""
    prompt = inspection.prompt if inspection is not None else None
    if prompt is None or not plan.pool.rules.generations:
        return False
    found = prompt.found
    return may_generate_again(
        stays=found.stays, runs_tools=found.runs_tools, streams=found.stream, leaves=leaves
    )


def streams_harmlessly(plan: PoolPlan, inspection: Inspection | None) -> bool:
    """Whether it asks for such a one token by token."""
    prompt = inspection.prompt if inspection is not None else None
    return prompt is not None and prompt.found.stream and is_harmless(plan, inspection, leaves=True)
