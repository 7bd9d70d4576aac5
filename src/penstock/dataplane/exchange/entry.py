"""Who asks in one exchange, and whether what it asks for is theirs to ask.

What a plan remembers of a key is its digest. What the key is good for is looked up anew for each
request, so that an end of it, or a revocation, counts at once on connections that are open.
"""

from typing import Final

import msgspec
from mypy_extensions import trait

from penstock.core.caller import ANYONE, Caller
from penstock.core.limits.allowances import NEVER
from penstock.core.limits.rules import COUNTED, Rule
from penstock.core.limits.slices import DENIED, LACKS, TAKEN, Holding
from penstock.core.limits.subjects import address_subject
from penstock.core.limits.told import limit_lines
from penstock.core.request import Request
from penstock.core.tenants import UNKNOWN, KeyRecord, digest_of
from penstock.dataplane.context import Context
from penstock.dataplane.exchange import answers
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.front import Front
from penstock.dataplane.exchange.inspection import Inspection
from penstock.dataplane.exchange.reservation import Reservation
from penstock.dataplane.llm.answer_reading import AnswerReading
from penstock.dataplane.pool.limits import LimitsAwaiter
from penstock.dataplane.route.access import Access, model_in_query
from penstock.dataplane.route.auth_question import AuthQuestion
from penstock.dataplane.route.auth_verdicts import AuthVerdict
from penstock.dataplane.route.plan import Plan, PoolPlan
from penstock.wire.api_family import ANTHROPIC
from penstock.wire.http1 import Field, RequestHead

_LONGEST_VALUE: Final = 64
_NO_KEY: Final = "a key is needed: show it in Authorization (Bearer), X-API-Key or API-Key"
_NO_FIELDS: Final[list[Field]] = []
_NO_RULES: Final[list[Rule]] = []
_ASKS_FOR_NOTHING: Final = (b"GET", b"HEAD", b"OPTIONS", b"DELETE")


@trait
class EntryOwner:
    """A request that goes on once what it may take is reserved."""

    def has_ended(self) -> bool:
        """Whether its client left meanwhile."""
        raise NotImplementedError

    def on_reserving(self) -> None:
        """It is not known yet whether so much is there: one of the following comes later."""
        raise NotImplementedError

    def on_reserved(self) -> None:
        """It is."""
        raise NotImplementedError

    def on_kept_out(self, told: Answer) -> None:
        """It may not go on, and its client is told so."""
        raise NotImplementedError

    def on_crash(self) -> None:
        """A bug showed."""
        raise NotImplementedError


class Entry:
    """Of one exchange, on a route that asks who asks."""

    record: KeyRecord | None = None  # of its key; None: nobody's
    caller: Caller = ANYONE
    reservation: Reservation | None = None  # since it is to be admitted
    taken: bool = False  # what it reserves is reserved, and to be settled
    told: list[Field] = _NO_FIELDS  # by a service that approved it, for its endpoint
    closes: bool = False  # the connection is not to go on

    def __init__(self, context: Context, plan: Plan, request_id: bytes) -> None:
        self._context: Context = context
        self._plan: Plan = plan
        self._request_id: bytes = request_id

    def enter(self, access: Access) -> Answer | None:
        """Find out who asks; what is answered to those who are not let in."""
        context = self._context
        record = access.record(context.tenants, context.tokens)
        if record is None and access.token and context.tokens.on:
            subject = address_subject(self._plan.source)
            # Verifying takes long: who showed many wrong ones is not verified again for a while.
            if context.wrong_keys.wait_s(subject, 1.0, context.env.now) == 0.0:
                record = context.tokens.verify(access.token, access.digest, context.tenants)
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

    def approve(self, question: AuthQuestion, verdict: AuthVerdict) -> None:
        """The service of ``forward_auth`` said yes, and perhaps who asks."""
        self.told = verdict.fields
        spec = question.spec
        if spec.tenant_header:
            tenant = verdict.value(spec.tenant_header)
            user = verdict.value(spec.user_header) if spec.user_header else ""
            record = self._context.tenants.of_name(tenant, user) if tenant else None
            if record is not None:
                self.record = record
                self.caller = record.caller

    def wrong_passwords(self) -> AuthVerdict | None:
        """What whoever showed many wrong ones is told for a while, and none is checked."""
        context = self._context
        subject = address_subject(self._plan.source)
        wait_s = context.wrong_keys.wait_s(subject, 1.0, context.env.now)
        if wait_s == 0.0:
            return None
        retry = b"%d" % max(int(wait_s + 1.0), 1)
        fields: list[Field] = [(b"retry-after", b"Retry-After", retry)]
        return AuthVerdict(429, fields, b"too many wrong passwords came from this address\n")

    def note_wrong(self) -> None:
        """A password was."""
        context = self._context
        context.wrong_keys.spend(address_subject(self._plan.source), 1.0, context.env.now)

    def rejection(self, verdict: AuthVerdict) -> Answer:
        """What the client gets where that service did not say yes."""
        if verdict.status == 0:
            family = self._plan.family(None)
            told = answers.refusal(
                503,
                "the service that says who may ask does not answer",
                request_id=self._request_id,
                retry_after_s=1,
                family=family,
            )
            told.why = f"the service that says who may ask: {verdict.why}"
            return told
        fields = [
            (name.decode("latin-1"), value.decode("latin-1")) for _, name, value in verdict.fields
        ]
        why = verdict.why or f"the service that says who may ask answered {verdict.status}"
        return Answer(verdict.status, verdict.body, fields, why)

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

    def admits(
        self,
        pool_plan: PoolPlan,
        request: Request,
        inspection: Inspection | None,
        head: RequestHead,
        owner: EntryOwner,
    ) -> bool:
        """Whether it may ask for that, and so much, which is reserved then; else ``owner`` is told,
        now or later."""
        refusal = self._judge(pool_plan, head, inspection)
        if refusal is not None:
            owner.on_kept_out(refusal)
            return False
        waiting = _Reserving(self, pool_plan, owner)
        verdict = self._reserve(pool_plan, request, inspection, head, waiting)
        if verdict == LACKS:
            owner.on_reserving()
        elif verdict == DENIED:
            slices = self._context.limits.slices
            waiting.on_denied(slices.denied_by, slices.wait_s)
        return verdict == TAKEN

    def _judge(
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

    # --- how much ---------------------------------------------------------------------------

    def _reserve(
        self,
        pool_plan: PoolPlan,
        request: Request,
        inspection: Inspection | None,
        head: RequestHead,
        awaiter: LimitsAwaiter,
    ) -> int:
        """Reserve all that it may take: TAKEN, DENIED, or LACKS; then the awaiter is told."""
        record = self.record
        limits = self._context.limits
        found = None
        if inspection is not None and inspection.prompt is not None:
            found = inspection.prompt.found
        most = found.output_limit * found.choices if found is not None else 0
        made = Reservation(
            limits, request.model, request.prompt_tokens, request.output_tokens, most
        )
        self.reservation = made
        size = max(head.content_length, 0)
        user = found.user if found is not None else ""
        for rules in (
            record.rules if record is not None else _NO_RULES,
            self._plan.limits,
            pool_plan.pool.limits,
        ):
            for rule in rules:
                subject = ""
                if rule.apart:
                    header = _values(head, rule) if rule.headers else ""
                    subject = rule.subject(
                        self.caller, self._plan.source, request.model, user, header
                    )
                made.add(rule, subject, size)
        if not made.charges:
            self.taken = True
            return TAKEN
        verdict = limits.reserve(made.charges, awaiter)
        self.taken = verdict == TAKEN
        return verdict

    def denial(self, pool_plan: PoolPlan, holding: Holding | None, wait_s: float) -> Answer:
        """What is answered where so much is not there."""
        family = self._plan.family(pool_plan)
        rule = holding.rule if holding is not None else None
        if rule is not None:
            self._context.limits.usage.refuse(rule.name)
        what = _told_limit(rule) if rule is not None else "a limit is reached"
        if wait_s == NEVER:
            what += ": this request alone is more than that"
        told = self.lines(family).decode().split("\r\n")[1:]
        fields = [(name, value) for name, _, value in [line.partition(": ") for line in told]]
        return answers.limited(
            what,
            wait_s,
            kind="requests" if rule is None or not rule.reads else "tokens",
            family=family,
            request_id=self._request_id,
            headers=fields,
            spent=rule is not None and rule.budget,
        )

    def lines(self, family: int) -> bytes:
        """Field lines that tell its client of its limits, each with its line's end before it."""
        made = self.reservation
        if made is None or not made.charges:
            return b""
        context = self._context
        anthropic = family == ANTHROPIC
        return limit_lines(made.charges, anthropic, context.env.now, float(context.second))

    def on_answer(self, front: Front, pool_plan: PoolPlan, reading: AnswerReading | None) -> None:
        """The client is about to get it: it is told of its limits."""
        front.tell(self.lines(self._plan.family(pool_plan)))
        self.follow(reading)
        if self.reservation is not None:
            self.reservation.measure(front)

    def follow(self, reading: AnswerReading | None) -> None:
        """The answer begins."""
        if reading is not None and self.reservation is not None and self.reservation.charges:
            self.reservation.follow(reading)

    def go_on(self, before: AnswerReading | None, after: AnswerReading | None) -> None:
        """The answer goes on from another endpoint: what came of it counts too."""
        made = self.reservation
        if made is not None and before is not None and before is not after:
            made.before += before.tokens()
        self.follow(after)

    def settle(self, sent: bool, status: int, reading: AnswerReading | None, size: int) -> None:
        """The exchange is over, however: once. ``sent``: an endpoint got the request."""
        made = self.reservation
        if made is None or not self.taken:
            return
        self.taken = False
        limits = self._context.limits
        now = self._context.env.now
        if not sent:
            made.settle(None, now)
            return
        used = made.used(status, reading, size)
        made.settle(used, now)
        caller = self.caller
        if caller.tenant:
            row = (caller.tenant, caller.key, made.model)
            limits.usage.add(row, used.prompt, used.cached, used.output, used.cost)

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


class _Reserving(LimitsAwaiter):
    """It waits; nothing of its exchange knows it, so that no cycle is left for the collector."""

    def __init__(self, entry: Entry, pool_plan: PoolPlan, owner: EntryOwner) -> None:
        self._entry: Entry = entry
        self._pool_plan: PoolPlan = pool_plan
        self._owner: EntryOwner = owner

    def has_ended(self) -> bool:
        return self._owner.has_ended()

    def on_allowed(self) -> None:
        self._entry.taken = True
        self._owner.on_reserved()

    def on_denied(self, holding: Holding | None, wait_s: float) -> None:
        self._owner.on_kept_out(self._entry.denial(self._pool_plan, holding, wait_s))

    def on_crash(self) -> None:
        self._owner.on_crash()


def _values(head: RequestHead, rule: Rule) -> str:
    found: list[str] = []
    for name in rule.headers:
        value = head.value(name) or b""
        # One that is long is told apart by its digest: as many as there are, and none by half.
        text = value.decode("latin-1")
        found.append(text if len(value) <= _LONGEST_VALUE else digest_of(value).hex())
    return "\n".join(found)


def _told_limit(rule: Rule) -> str:
    """A limit that is reached, for people."""
    what = COUNTED[rule.counts].replace("_", " ")
    amount = f"{rule.amount:g}"
    if rule.budget:
        within = f" this {rule.per}" if rule.per != "ever" else ""
        return f"the budget is used up: {amount} {what}{within}"
    if rule.per:
        return f"the rate limit is reached: {amount} {what} per {rule.per}"
    return f"the limit is reached: {amount} {what} requests"
