"""Who asks in one exchange, and whether what it asks for is theirs to ask.

What a plan remembers of a key is its digest. What the key is good for is looked up anew for each
request, so that an end of it, or a revocation, counts at once on connections that are open.
"""

from typing import Final

import msgspec

from penstock.core.caller import ANYONE, Caller
from penstock.core.limits.subjects import address_subject
from penstock.core.tenants import UNKNOWN, KeyRecord
from penstock.dataplane.context import Context
from penstock.dataplane.exchange import answers
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.inspection import Inspection
from penstock.dataplane.route.access import Access, model_in_query
from penstock.dataplane.route.plan import Plan, PoolPlan
from penstock.wire.http1 import RequestHead

_NO_KEY: Final = "a key is needed: show it in Authorization (Bearer), X-API-Key or API-Key"
_ASKS_FOR_NOTHING: Final = (b"GET", b"HEAD", b"OPTIONS", b"DELETE")


class Entry:
    """Of one exchange, on a route that asks who asks."""

    record: KeyRecord | None = None  # of its key; None: nobody's
    caller: Caller = ANYONE
    closes: bool = False  # the connection is not to go on

    def __init__(self, context: Context, plan: Plan, request_id: bytes) -> None:
        self._context: Context = context
        self._plan: Plan = plan
        self._request_id: bytes = request_id

    def enter(self, access: Access) -> Answer | None:
        """Find out who asks; what is answered to those who are not let in."""
        context = self._context
        record = access.record(context.tenants)
        if record is None:
            if access.digest:
                return self._refuse(UNKNOWN)
            if access.required:
                return self._told(_NO_KEY)
            return None
        why = record.why_not(context.second)
        if why:
            return self._refuse(why)
        self.record = record
        self.caller = record.caller
        return None

    def _refuse(self, why: str) -> Answer:
        """A wrong key. An address that shows many is answered less, and connects anew for each."""
        context = self._context
        subject = address_subject(self._plan.source)
        wait_s = context.wrong_keys.take(subject, 1.0, context.env.now)
        if wait_s == 0.0:
            return self._told(why)
        self.closes = True
        family = self._plan.family(None)
        message = "too many wrong keys came from this address"
        return answers.limited(
            message, wait_s, kind="requests", family=family, request_id=self._request_id
        )

    def _told(self, why: str) -> Answer:
        family = self._plan.family(None)
        return answers.wrong_key(why, family=family, request_id=self._request_id)

    def name_caller(self, pool_plan: PoolPlan) -> None:
        """Have the request tell who asks; made anew only where that is another than before."""
        if pool_plan.request.caller is not self.caller:
            pool_plan.request = pool_plan.request.asked_by(self.caller)

    def prepare(self, inspection: Inspection) -> None:
        """Have names of the tenant's own understood."""
        if self.record is not None:
            inspection.aliases = self.record.aliases

    def judge(
        self, pool_plan: PoolPlan, head: RequestHead, inspection: Inspection | None
    ) -> Answer | None:
        """What is answered where its key may not ask for that; None where it may."""
        record = self.record
        if record is None or not record.is_restricted or pool_plan.pool.learning is None:
            return None
        named = inspection.named if inspection is not None else ""
        if not named and pool_plan.upgrade is not None:
            named = model_in_query(head.target)
        elif not named and head.method in _ASKS_FOR_NOTHING:
            return None
        if named and record.may_ask(named):
            return None
        family = self._plan.family(pool_plan)
        if named:
            return answers.forbidden_model(
                named, record.allowed(), family=family, request_id=self._request_id
            )
        message = "this key may ask for some models only, and the request names none that is read"
        return answers.refusal(403, message, family=family, request_id=self._request_id)

    def shown(self, body: bytes) -> bytes:
        """A list of models that engines told (Ollama's), with those that the key may ask for."""
        record = self.record
        if record is None or not record.is_restricted:
            return body
        try:
            told: dict[str, object] = msgspec.json.decode(body, type=dict[str, object])
        except msgspec.DecodeError:
            return b"{}"
        models = told.get("models")
        listed: list[object] = models if isinstance(models, list) else []
        told["models"] = [
            each
            for each in listed
            if isinstance(each, dict) and record.may_ask(str(each.get("name", "")))
        ]
        return msgspec.json.encode(told)
