"""Which attempts of one exchange failed, and whether, where and for which model another may follow.

Whoever drives an exchange (the data plane, the simulator) makes ``Attempts`` when its first attempt
fails or is passed over: most exchanges never need one. Nothing here knows a protocol; whether it is
safe to send something twice comes in as a value.

A failed attempt counts against ``Retry.attempts``, except:

- a refused connection, while endpoints remain that were not tried (``RetryRules.counts``);
- an idle connection that its endpoint had closed, replaced by a fresh one, once per exchange;
- a stream that its endpoint says it did not process (HTTP/2), up to MOST_REFUSED of an exchange;
- an endpoint that was only full: it is passed over until the request has waited.

When a request used up its attempts at one model, another may stand in and gets attempts of its own.

Room for hedging: with two attempts under way, ``tried`` is also told of the endpoint of the first
when the second is opened, and the last one to fail asks whether another may follow.
"""

from typing import Final

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.pool.pool import Pool

# Why no other attempt follows, beside the reasons of ``RetryRules.refusal``.
OVER_BUDGET: Final = "the pool's retry budget is used up"
# Of one exchange, which an endpoint that refuses everything would keep going for ever.
MOST_REFUSED: Final = 16
NOBODY_ELSE: Final = "no other endpoint is left for a request that this one refused"


def may_generate_again(
    *, stays: bool, runs_tools: bool, streams: bool = True, leaves: bool = False
) -> bool:
    """Whether a language model may be asked for an answer once more: for retries, deadlines, hedges
    and resuming alike.

    ``stays``: something of the answer stays behind at its endpoint (``store``, which is the default
    of OpenAI's responses, ``background``, ``conversation``). ``runs_tools``: the server carries out
    tools itself, which may do something twice. ``leaves``: it is we who end the attempt before,
    which an engine is certain to notice only where the answer ``streams`` (llama.cpp runs others to
    their end after their client left).
    """
    return not stays and not runs_tools and (streams or not leaves)


class Failure:
    """How one attempt failed, as far as that decides whether another may follow."""

    def __init__(
        self,
        endpoint: Endpoint,
        outcome: int,
        status: int = 0,
        *,
        timed_out: bool = False,
        sent: bool = True,
        safe: bool = False,
        refused: bool = False,
        passed_on: bool = False,
        grpc_status: int = -1,
        late: bool = False,
    ) -> None:
        self.endpoint: Endpoint = endpoint
        self.outcome: int = outcome  # of core.ticket
        self.status: int = status  # of the response; 0 without one
        self.timed_out: bool = timed_out  # whatever the outcome is, it took all its time
        self.sent: bool = sent  # bytes of the request reached the endpoint's connection
        self.safe: bool = safe  # sending it twice does no harm
        self.refused: bool = refused  # the endpoint said that it did not take it up
        self.passed_on: bool = passed_on  # bytes of a response reached the client
        self.grpc_status: int = grpc_status  # of a call that ended without a message; -1: none
        self.late: bool = late  # given up here, as no token came by its deadline


class Attempts:
    """The failed attempts of one exchange at a pool, and what may follow them."""

    def __init__(self, pool: Pool) -> None:
        self._pool: Pool = pool
        self.tried: list[Endpoint] = []  # by attempts that failed, or passed over
        self.counted: int = 0  # against ``Retry.attempts``, at the model that is asked for now
        self._full: list[Endpoint] = []  # of those tried
        self._given_up: list[str] = []  # models at which the attempts are used up
        self._replaced_stale: bool = False
        self._refused: int = 0

    def failed(self, failure: Failure, model: str, asked: str, env: Env) -> str:
        """Note that an attempt at ``model`` failed. Returns why no other may follow; "" if one may,
        and then the pool's retry budget has been charged for it.

        ``asked``: the name that the client asked for, if another model may stand in; else "".
        """
        pool = self._pool
        endpoint = failure.endpoint
        again = endpoint in self.tried
        self.tried.append(endpoint)
        if failure.refused and not self._is_any_left(model, asked, env):
            return NOBODY_ELSE
        rules = pool.rules
        if rules.counts(
            failure.outcome,
            timed_out=failure.timed_out,
            again=again,
            tried=len(self.tried),
            others=pool.is_left(model, self.tried),
        ):
            self._count(model, asked, env)
        why = rules.refusal(
            attempts=self.counted,
            outcome=failure.outcome,
            status=failure.status,
            sent=failure.sent,
            safe=failure.safe or failure.refused,
            passed_on=failure.passed_on,
            grpc_status=failure.grpc_status,
            late=failure.late,
        )
        if not why and not pool.takes_retry(env.now):
            why = OVER_BUDGET
        return why

    def stand_in(self, model: str, asked: str, env: Env) -> str:
        """The model to ask for in place of ``model``; "" to go on with that one."""
        if not asked:
            return ""
        if model not in self._given_up and self._pool.is_left(model, self.tried):
            return ""
        return self._pool.stand_in(asked, env, self.tried, self._given_up)

    def begin_anew(self) -> None:
        """Another model is asked for: it gets attempts of its own."""
        self.counted = 0

    def pass_over(self, endpoint: Endpoint) -> None:
        """It is full, which is no failure."""
        self._full.append(endpoint)
        self.tried.append(endpoint)

    def may_fill_again(self) -> None:
        """The request waits: endpoints that were full may be chosen again."""
        if self._full:
            self.tried = [e for e in self.tried if e not in self._full]
            self._full = []

    def replaces_stale(self) -> bool:
        """Whether a fresh connection may replace an idle one that was stale; True once."""
        if self._replaced_stale:
            return False
        self._replaced_stale = True
        return True

    def replaces_refused(self) -> bool:
        """Whether another stream may replace one that its endpoint did not process."""
        self._refused += 1
        return self._refused <= MOST_REFUSED

    def _is_any_left(self, model: str, asked: str, env: Env) -> bool:
        """Whether there is another endpoint for it, or another model that stands in."""
        if self._pool.is_left(model, self.tried):
            return True
        return self.stand_in(model, asked, env) != ""

    def _count(self, model: str, asked: str, env: Env) -> None:
        """Count the attempt that failed. After the last one at a model, another may stand in."""
        self.counted += 1
        given_up = self._given_up
        if not asked or model in given_up or not self._pool.rules.used_up(self.counted):
            return
        given_up = [*given_up, model]
        if self._pool.stand_in(asked, env, self.tried, given_up):
            self._given_up = given_up
            self.counted = 1
