"""What is told of a request that ended: its line in the log, and its trace."""

from mypy_extensions import trait

from penstock.dataplane.context import Context
from penstock.dataplane.exchange.log_line import log_line
from penstock.dataplane.exchange.outcome import Outcome
from penstock.dataplane.exchange.tracing import RequestTrace
from penstock.dataplane.route.plan import Plan


@trait
class Told:
    """The request."""

    def outcome(self) -> Outcome:
        """What became of it."""
        raise NotImplementedError


def tell_end(
    told: Told,
    context: Context,
    plan: Plan,
    trace: RequestTrace | None,
    status: int,
    ended: str,
    began: float,
    *,
    has_line: bool,
) -> None:
    """Once, now that it is over. ``trace``: made already; ``has_line``: in the log, where there is
    one."""
    log = context.log
    tracer = context.tracer
    now = context.env.now
    if tracer is not None and trace is None:
        trace = RequestTrace(tracer, plan)
    traced = trace is not None and trace.wants(status, ended, now - began)
    if not log.enabled or not has_line or not log.shape.wants(status, ended):
        if trace is not None and traced:
            trace.tell(told.outcome(), now, log.shape)
        return
    outcome = told.outcome()
    log.write(log_line(outcome, now, log.shape))
    if trace is not None and traced:
        trace.tell(outcome, now, log.shape)
