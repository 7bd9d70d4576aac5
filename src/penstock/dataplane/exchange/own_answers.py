"""Answers of our own to one request: in the form that its client reads, or as the page that is
configured for them."""

from typing import Final

from penstock.core.policy.support.own import own_failure
from penstock.core.snapshot import Maintenance
from penstock.dataplane.exchange import answers
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.route.error_pages import text_pages
from penstock.dataplane.route.plan import Plan, PoolPlan
from penstock.wire.forwarding import Edit
from penstock.wire.http1 import RequestHead, ResponseHead, all_values
from penstock.wire.openai import OTHER

# Of an engine asked for its models: it told them, or has no such path and asks for no key.
_LETS_LIST: Final = frozenset((200, 404, 405, 501))


class OwnAnswers:
    """``pool_plan``: of the pool that was chosen; None before that."""

    def __init__(
        self, head: RequestHead, plan: Plan, pool_plan: PoolPlan | None, request_id: bytes
    ) -> None:
        self.head: RequestHead = head
        self.plan: Plan = plan
        self.pool_plan: PoolPlan | None = pool_plan
        self.request_id: bytes = request_id

    def edits(self) -> list[Edit]:
        """What is done to their heads."""
        return self.plan.own_edits(self.pool_plan)

    def without_endpoint(self) -> Answer:
        """What the plan says: a redirect, a fixed response, or a refusal."""
        plan = self.plan
        if not plan.message:
            return Answer(plan.status, plan.body, plan.headers)
        told = answers.refusal(
            plan.status,
            plan.message,
            request_id=self.request_id,
            family=plan.family(self.pool_plan),
        )
        if plan.headers:  # that clients need to do better: the versions of WebSocket
            told.headers = [*told.headers, *plan.headers]
        return self.as_page(told)

    def refusal(self, status: int, message: str, retry_after_s: int = 0, kind: str = "") -> Answer:
        """An error, with the id of its request."""
        told = answers.refusal(
            status,
            message,
            request_id=self.request_id,
            retry_after_s=retry_after_s,
            kind=kind,
            family=self.plan.family(self.pool_plan),
        )
        return self.as_page(told)

    def bad_request(self, status: int, message: str) -> Answer:
        """An error of the request, which turned out while it came."""
        family = self.plan.family(self.pool_plan)
        return self.as_page(answers.refusal(status, message, family=family))

    def maintenance(self, spec: Maintenance) -> Answer:
        """The pool is set aside: the operator's text, or else the page for 503."""
        plan, pool_plan = self.plan, self.pool_plan
        told = answers.refusal(
            503,
            spec.text or "down for maintenance",
            request_id=self.request_id,
            retry_after_s=spec.retry_after_s,
            kind="maintenance",
            family=plan.family(pool_plan),
        )
        if not spec.text:
            return self.as_page(told)
        own_form = plan.is_grpc or (pool_plan is not None and pool_plan.api != OTHER)
        pages = None if own_form else text_pages(503, spec.text)
        return answers.with_page(told, pages, self._accepted())

    def model_list(self) -> Answer:
        """Of all models, for which no endpoint is needed."""
        return answers.json_answer(200, self.plan.listed)

    def lists_in_place_of(self, head: ResponseHead) -> bool:
        """Whether the list of all models stands in for an engine's own, which lets the client have
        it. Else the engine's answer is to be passed on: that the key is wrong, for one."""
        return len(self.plan.listed) > 0 and head.status in _LETS_LIST

    def kept_protocol(self, answer: Answer) -> Answer:
        """What a request to change the protocol gets in place of a success, which would say that
        it was changed (RFC 8441, 5)."""
        if not self.head.extended_connect or answer.status >= 300:
            return answer
        why = "what is answered here does not change the protocol"
        return answers.refusal(501, why, request_id=self.request_id)

    def in_place_of(self, head: ResponseHead) -> Answer | None:
        """The page for an endpoint's answer, if its status asks for one."""
        pages = self.plan.error_pages(self.pool_plan)
        if pages is None or head.status not in pages.replaced:
            return None
        return self.as_page(answers.in_place_of(head, self.request_id))

    def as_page(self, answer: Answer) -> Answer:
        """With the page that is configured for such errors, if there is one."""
        pages = self.plan.error_pages(self.pool_plan)
        return answers.with_page(answer, pages, self._accepted())

    def _accepted(self) -> bytes:
        """The media types that the client accepts."""
        return all_values(self.head.fields, b"accept")


def crash_told(error: BaseException | None) -> tuple[str, str]:
    """What a client is told of a bug, ours or of a user's policy, and what the log is: which policy
    failed, and how, is no client's business."""
    own = own_failure(error)
    what = "the policy of the pool failed; see the" if own else "internal error; see the balancer's"
    return f"{what} standard error", own
