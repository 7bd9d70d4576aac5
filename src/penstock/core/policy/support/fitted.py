"""What the policies that predict times have in common: a model of the fleet, and paces in it."""

from typing import ClassVar

from mypy_extensions import mypyc_attr

from penstock.core.endpoint import Endpoint
from penstock.core.lineup import is_lineup
from penstock.core.policy.support.engine_model import EngineModel, FleetModel
from penstock.core.policy.support.memory import pruned
from penstock.core.policy.support.serving import ServingPolicy, decoding, held, prefilled
from penstock.core.policy.support.slots import Slots
from penstock.core.policy.support.transfers import Transfers
from penstock.core.prefixes.prefix_index import DEFAULT_BLOCKS
from penstock.core.ticket import ABANDONED, DONE, Ticket

_FEWEST_TOKENS = 8  # of an answer that tells a time per token


@mypyc_attr(allow_interpreted_subclasses=True)
class FittedPolicy(ServingPolicy):
    """Learns from every ticket how fast its endpoint is."""

    learned_version: ClassVar[int] = 1

    def __init__(self, prefix_blocks: int = DEFAULT_BLOCKS) -> None:
        super().__init__(prefix_blocks)
        self._models: dict[Endpoint, EngineModel] = {}
        self.fleet: FleetModel = FleetModel()
        self.slots: Slots = Slots()
        self.transfers: Transfers = Transfers()  # of caches that come from another half
        self._lineup: list[Endpoint] = []  # that was looked at last
        self._lineup_models: list[EngineModel] = []  # beside it

    def to_hand_over(self) -> dict[str, object]:
        return self.fleet.learned()

    def take_over(self, state: dict[str, object]) -> None:
        self.fleet.take_learned(state)

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        super().rebuild(endpoints)
        self.fleet.first_tokens.members = self.fleet.steps.members = max(len(endpoints), 1)
        self._models = pruned(self._models, endpoints)
        self._lineup = []

    def model(self, endpoint: Endpoint) -> EngineModel:
        """What is believed of the endpoint."""
        found = self._models.get(endpoint)
        if found is None:
            found = EngineModel(self.fleet)
            self._models[endpoint] = found
        return found

    def models(self, endpoints: list[Endpoint]) -> list[EngineModel]:
        """What is believed of each."""
        if not endpoints or not is_lineup(self._lineup, endpoints):
            self._lineup = list(endpoints)
            self._lineup_models = [self.model(endpoint) for endpoint in endpoints]
        return self._lineup_models

    def look(self, eligible: list[Endpoint], now: float) -> list[Endpoint]:
        """All of them: those that are silent for too long are weighed as such, in seconds."""
        models = self.models(eligible)
        for index, endpoint in enumerate(eligible):
            model = models[index]
            model.look(now)
            model.overdue_s = self.overdue_s(endpoint, now)
        return eligible

    def hoped_paces(self, eligible: list[Endpoint]) -> list[float]:
        """How fast each computes prompts: as was learned, or else as the fastest that is known.

        For policies that compare nothing but this: by the average pace that is believed of one not
        known, it would wait for its first request as long as a faster one is idle. Optimism where
        there is doubt: R. Sutton, A. Barto, "Reinforcement Learning", 2.6.
        """
        paces = []
        unknown = []
        fastest = float("inf")
        for index, model in enumerate(self.models(eligible)):
            pace = model.prefill_pace
            paces.append(pace.value)
            if not pace.known:
                unknown.append(index)
            elif pace.value < fastest:
                fastest = pace.value
        for index in unknown:
            paces[index] = min(paces[index], fastest)
        return paces

    def on_start(self, ticket: Ticket) -> None:
        super().on_start(ticket)
        if ticket.kv_tokens:
            self.slots.start(ticket)

    def on_first_byte(self, ticket: Ticket) -> None:
        # One that waited for a slot tells nothing of what prompts cost.
        first = ticket.batch_before == 0 and not self.slots.waited(ticket)
        super().on_first_byte(ticket)
        if first and ticket.batch_before and ticket.status < 400 and ticket.request.streams:
            model = self.model(ticket.endpoint)
            if ticket.transfer_began > 0.0:
                prompt = ticket.request.prompt_tokens
                cached_s = model.queue_s(ticket.prefill_ahead) + model.prefill_s(0, prompt)
                took_s = ticket.first_byte_at - ticket.transfer_began
                self.transfers.learn(prompt, took_s - cached_s)
                return
            model.learn_first_token(
                ticket.prefill_ahead,
                ticket.prefill_tokens,
                ticket.request.prompt_tokens,
                ticket.first_byte_at - ticket.opened_at,
                ticket.first_byte_at,
            )

    def on_end(self, ticket: Ticket) -> None:
        unanswered = ticket.outcome == ABANDONED and ticket.batch_before == 0
        if unanswered and ticket.kv_tokens and ticket.left_tokens == 0:
            self._learn_unanswered(ticket)
        self.slots.end(ticket)
        told = ticket.batch_before and ticket.outcome == DONE and ticket.status < 400
        if told and ticket.request.streams:
            tokens = ticket.output_tokens
            if tokens >= _FEWEST_TOKENS:
                endpoint = ticket.endpoint
                self.model(endpoint).learn_step(
                    (ticket.batch_before + decoding(endpoint)) / 2.0,
                    (ticket.kv_before + held(endpoint)) / 2.0,
                    max(prefilled(endpoint) - ticket.prefilled_before, 0) / tokens,
                    (ticket.settled_at - ticket.first_byte_at) / (tokens - 1),
                    ticket.settled_at,
                )
        super().on_end(ticket)

    def _learn_unanswered(self, ticket: Ticket) -> None:
        """It was given up for another that was sooner: a first token here takes longer than it
        waited, which would never be learned from those that come."""
        waited_s = ticket.settled_at - ticket.opened_at
        prompt = ticket.request.prompt_tokens
        model = self.model(ticket.endpoint)
        expected_s = model.queue_s(ticket.prefill_ahead)
        expected_s += model.prefill_s(ticket.prefill_tokens, prompt)
        if ticket.request.streams and waited_s > expected_s and not self.slots.waited(ticket):
            model.learn_first_token(
                ticket.prefill_ahead, ticket.prefill_tokens, prompt, waited_s, ticket.settled_at
            )

    def beliefs(self) -> dict[str, dict[str, float]]:
        told = {}
        moved_s = self.transfers.expected_s(1000) if self.transfers.samples else -1.0
        for endpoint, model in self._models.items():
            told[endpoint.name] = {
                "prefill_pace": model.prefill_pace.value,
                "decode_pace": model.decode_pace.value,
                "base_s": model.prefill_s(0, 0),
                "prompt_token_s": model.token_s,
                "step_s": model.step_s,
                "step_per_request_s": model.batch_s,
                "disturbance_s": model.disturbance_s,
                "pending_prefill": float(endpoint.tokens.pending_prefill),
                "kv_tokens": float(endpoint.tokens.held),
            }
            if moved_s >= 0.0:
                told[endpoint.name]["transfer_of_1000_tokens_s"] = moved_s
        return told
