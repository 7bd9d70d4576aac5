"""Which slot of an engine a request takes (llama.cpp), where the engine has any."""

from penstock.core.prefixes.engine_slots import ANY
from penstock.core.ticket import Ticket
from penstock.dataplane.llm.prompt_body import PromptBody
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.route.plan import PoolPlan
from penstock.wire.openai import OTHER


def ask_for_slot(prompt: PromptBody, endpoint: LiveEndpoint, ticket: Ticket) -> None:
    """Choose one, or leave that to the engine."""
    slot = ANY
    conversation = 0
    if prompt.may_ask_for_slot():
        conversation = prompt.found.opening or ticket.request.session_hash
        slot = endpoint.choose_slot(conversation, prompt.found)
        if slot >= 0 and not prompt.ask_for_slot(slot):
            slot = ANY
    endpoint.give_slot(ticket, slot, conversation)


def give_slot(plan: PoolPlan, endpoint: LiveEndpoint, ticket: Ticket) -> None:
    """The engine chooses, of a request that was not understood."""
    if plan.api != OTHER:
        endpoint.give_slot(ticket)
