"""What clients ask for, and what endpoints answer, whichever protocol both speak."""

from collections.abc import Callable

from tests.whole.book import Answer, Asked, Given
from tests.whole.generations import Question, heard_answer, tokens_of, whole_answer
from tests.whole.party import Party

Wish = Callable[[Party], Asked]

_METHODS = ("GET", "GET", "GET", "POST", "POST", "PUT", "HEAD", "DELETE")
_STATUSES = (200, 200, 200, 200, 204, 304, 404, 500)


def anything(party: Party) -> Asked:
    """A request of any method, with a body that means nothing."""
    method = _METHODS[party.kernel.below(len(_METHODS))]
    return party.book.ask(method, party.some_size() if method in ("POST", "PUT") else 0)


def a_generation(party: Party) -> Asked:
    """A prompt for a language model."""
    asked = party.book.ask("POST", 0)
    question = Question(party.kernel.rng, asked.number)
    asked.target = question.target
    asked.tenant = question.tenant
    asked.data = question.body
    asked.size = len(asked.data)
    asked.fields = [*question.fields, ("X-Number", str(asked.number))]
    return asked


def reply_to(party: Party, given: Given, fails: float) -> tuple[Answer, list[tuple[str, str]]]:
    """The answer to it, and further header fields."""
    kernel, book, asked = party.kernel, party.book, given.asked
    failed = fails > 0.0 and kernel.random() < fails
    if failed:
        book.disturb("an endpoint that answers 503")
    if asked.data and not failed and given.whole:
        answer = book.answer(asked, 200, 0)
        prompt = bytes(given.data)
        answer.data, kind = whole_answer(answer.number, given.target, prompt)
        answer.heard = heard_answer(answer.number, asked.target, asked.data, prompt)
        answer.tokens = tokens_of(asked.target, asked.data)
        answer.size = len(answer.data)
        return answer, [("Content-Type", kind)]
    status = 503 if failed or asked.data else _STATUSES[kernel.below(len(_STATUSES))]
    if status == 503:
        book.disturb("an endpoint that answers 503")
    bodiless = asked.method == "HEAD" or status in (204, 304)
    size = party.some_size()
    return book.answer(asked, status, 0 if bodiless else size), []
