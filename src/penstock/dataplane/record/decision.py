"""One recorded choice of an endpoint: what was known, what was picked and what came of it."""

from struct import pack
from typing import Final

import msgspec

from penstock.core.endpoint import Endpoint
from penstock.core.policy.base import Explained
from penstock.core.request import Request
from penstock.core.ticket import OUTCOMES, Ticket

# Candidates kept in a record: those of least cost or greatest score, and the one picked.
MAX_CANDIDATES: Final = 64

Record = dict[str, object]


class Decision:
    """The record grows until the attempt ends; then only its JSON is kept."""

    def __init__(
        self,
        request_id: str,
        time: float,
        pool: str,
        policy: str,
        request: Request,
        explained: list[Explained],
        now: float,
    ) -> None:
        """``time`` is Unix time, ``now`` on the loop's clock."""
        self.request_id: str = request_id
        self.time: float = time
        self._explained: list[Explained] = explained
        self._terms: dict[str, float] = {}
        self._record: Record = {
            "id": request_id,
            "time": time,
            "pool": pool,
            "policy": policy,
            "request": request_facts(request),
            "candidates": [_candidate(endpoint, terms, now) for endpoint, terms in explained],
        }
        self._encoded: bytes = b""

    def picked(self, endpoint: Endpoint, by: str, attempt: int) -> None:
        """``by`` is "policy", "cookie", or "answer": the one that the request goes on from.

        ``attempt`` counts from 1.
        """
        record = self._record
        record["picked"] = endpoint.name
        record["by"] = by
        record["attempt"] = attempt
        for index, (candidate, terms) in enumerate(self._explained):
            if candidate is endpoint:
                self._terms = terms
                self._shorten(index)
                break
        self._explained = []

    def predicted(self, ticket: Ticket) -> None:
        """What is expected of the attempt, as it was opened."""
        predicted: dict[str, object] = {"output_tokens": ticket.request.output_tokens}
        terms = self._terms
        if "ttft_s" in terms:
            if _tells_first_token(ticket.request):
                predicted["ttft_s"] = terms["ttft_s"]
            if "decode_s" in terms:
                predicted["total_s"] = terms["ttft_s"] + terms["decode_s"]
        if ticket.kv_tokens:
            predicted["cached_tokens"] = ticket.hit_tokens
        if ticket.request.prompt_tokens:
            predicted["prompt_tokens"] = ticket.request.prompt_tokens
        self._record["predicted"] = predicted

    def add_shadow(
        self, policy: str, picked: str, cost_s: float | None, live_cost_s: float | None
    ) -> None:
        """What another policy would have picked, and the estimated cost of both picks."""
        found = self._record.setdefault("shadow", {})
        assert isinstance(found, dict)
        found[policy] = {"picked": picked, "cost_s": cost_s, "live_cost_s": live_cost_s}

    def came_true(self, ticket: Ticket, address: str) -> bytes:
        """The attempt ended, which went to that address. Returns the record as JSON."""
        first_s = ticket.first_byte_at - ticket.opened_at if ticket.first_byte_at > 0.0 else None
        self._record["came_true"] = {
            "first_byte_s": first_s,
            "ttft_s": first_s if _tells_first_token(ticket.request) else None,
            "total_s": ticket.settled_at - ticket.opened_at,
            "prompt_tokens": _told(ticket.prompt_tokens),
            "cached_tokens": _told(ticket.cached_tokens),
            "output_tokens": ticket.output_tokens,
            "status": ticket.status,
            "end": OUTCOMES[ticket.outcome],
            "address": address,
        }
        self._encoded = msgspec.json.encode(self._record)
        self._record = {}
        return self._encoded

    def encoded(self) -> bytes:
        """The record as JSON, so far as it is known."""
        return self._encoded or msgspec.json.encode(self._record)

    def _shorten(self, picked: int) -> None:
        candidates = self._record["candidates"]
        assert isinstance(candidates, list)
        if len(candidates) <= MAX_CANDIDATES:
            return
        order = sorted(range(len(candidates)), key=self._rank)[:MAX_CANDIDATES]
        if picked not in order:
            order[-1] = picked
        self._record["left_out"] = len(candidates) - len(order)
        self._record["candidates"] = [candidates[index] for index in order]

    def _rank(self, index: int) -> float:
        endpoint, terms = self._explained[index]
        if "cost" in terms:
            return terms["cost"]
        return -terms["score"] if "score" in terms else float(endpoint.load())


def request_facts(request: Request) -> Record:
    """What a policy may know of a request. ``blocks`` are 16 hexadecimal digits each."""
    facts: Record = {"method": request.method, "host": request.host, "path": request.path}
    if request.key_hash:
        facts["key"] = f"{request.key_hash:016x}"
    if request.session_hash:
        facts["session"] = f"{request.session_hash:016x}"
    if request.prompt_tokens or request.model:
        blocks = request.blocks
        facts["model"] = request.model
        facts["prompt_tokens"] = request.prompt_tokens
        facts["output_tokens"] = request.output_tokens
        facts["streams"] = request.streams
        facts["blocks"] = pack(f">{len(blocks)}Q", *blocks).hex()
        facts["block_ends"] = request.block_ends
        facts["block_tokens"] = request.block_tokens
    return facts


def _candidate(endpoint: Endpoint, terms: dict[str, float], now: float) -> Record:
    """What the policy saw of an endpoint; tokens only where they are counted."""
    candidate: Record = {
        "endpoint": endpoint.name,
        "in_flight": endpoint.load(),
        "here": endpoint.in_flight,
        "weight": endpoint.weight,
    }
    queued = endpoint.tokens.pending_prefill + endpoint.tokens_elsewhere.pending_prefill
    kv = endpoint.tokens.held + endpoint.tokens_elsewhere.held
    if queued or kv or endpoint.reported.kv_capacity:
        candidate["queued_tokens"] = queued
        candidate["kv_tokens"] = kv
        candidate["kv_capacity"] = endpoint.reported.kv_capacity
    if endpoint.reported.most_running:
        candidate["most_running"] = endpoint.reported.most_running
    if endpoint.reported.at >= 0.0:
        candidate["report_age_s"] = now - endpoint.reported.at
    if endpoint.tokens.decoding:
        candidate["decoding"] = endpoint.tokens.decoding
    candidate["terms"] = terms
    return candidate


def _tells_first_token(request: Request) -> bool:
    """Whether its first byte tells of its first token: an answer that does not stream comes whole,
    as long after its first token as it is long."""
    return request.streams or request.prompt_tokens == 0


def _told(tokens: int) -> int | None:
    return tokens if tokens >= 0 else None
