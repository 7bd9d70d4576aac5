"""What was asked and answered: every body is numbered, and every request ends exactly once."""

from tests.whole.generations import check_prompt
from tests.whole.kernel import Kernel

_PATTERN = b"".join(b"%d," % number for number in range(120_000))
_STARTS = 400_009  # a prime: no two of so many bodies begin alike
MOST_BYTES = 200_000  # of a body


def content(number: int, start: int, end: int) -> bytes:
    """Those bytes of the body of that number, which no other body has there."""
    at = number * 997 % _STARTS
    return _PATTERN[at + start : at + end]


class Asked:
    """A request. ``ended``: how, once it has; "" before."""

    __slots__ = (
        *("answers", "data", "ended", "fields", "given", "method", "number", "over", "sent"),
        *("size", "target", "tenant"),
    )

    def __init__(self, number: int, method: str, size: int) -> None:
        self.number = number
        self.method = method
        self.target = f"/{number}"
        self.fields: list[tuple[str, str]] = []  # beside those that any has
        self.size = size  # of its body
        self.data = b""  # its body, where that is a prompt
        self.tenant = ""  # who asks
        self.sent = False  # its client has sent all of it
        self.given = 0  # how often an endpoint got it
        self.answers = 0  # that endpoints began
        self.ended = ""
        self.over = False  # its client takes no more of it

    @property
    def repeatable(self) -> bool:
        return self.method not in ("POST", "TUNNEL")

    @property
    def most_given(self) -> int:
        """A prompt goes to so many at most: three attempts, and two that go on."""
        return 6 if self.data else 4

    def piece(self, start: int, end: int) -> bytes:
        """Of its body."""
        return self.data[start:end] if self.data else content(self.number, start, end)


class Answer:
    """What an endpoint says to a request, once more its client's than all the balancer's."""

    __slots__ = (
        "asked",
        "data",
        "finished",
        "heard",
        "number",
        "size",
        "status",
        "tokens",
        "truncated",
    )

    def __init__(self, number: int, asked: Asked, status: int, size: int) -> None:
        self.number = number
        self.asked = asked
        self.status = status
        self.size = size  # of its body, as it is sent
        self.data = b""  # its body, where that is a model's
        self.heard = b""  # it, as its client is to have it
        self.tokens = 0  # of prompt and answer
        self.truncated = False  # it ended in order, and not at its end
        self.finished = False  # all of it was sent

    def piece(self, start: int, end: int) -> bytes:
        """Of its body, as it is sent."""
        return self.data[start:end] if self.data else content(self.number, start, end)


class Book:
    """``harmless``: nothing happened yet that a client may be refused or cut for."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.asked: list[Asked] = []
        self.answers: list[Answer] = []
        self.disturbed = ""  # by what first
        self.ends: dict[str, int] = {}
        self.spent: dict[str, float] = {}  # tokens, by tenants, of all that was answered
        self.guessed: set[str] = set()  # tenants of which no engine told all that it took

    @property
    def harmless(self) -> bool:
        return not self.disturbed and not self.kernel.faults

    def disturb(self, by: str) -> None:
        if not self.disturbed:
            self.disturbed = by

    def ask(self, method: str, size: int) -> Asked:
        made = Asked(len(self.asked), method, size)
        self.asked.append(made)
        return made

    def answer(self, asked: Asked, status: int, size: int) -> Answer:
        made = Answer(len(self.answers), asked, status, size)
        self.answers.append(made)
        asked.answers += 1
        return made

    def given(self, asked: Asked) -> None:
        """An endpoint got its head."""
        asked.given += 1
        once = not asked.repeatable and not asked.data
        assert asked.given == 1 or not once, f"request {asked.number} was done twice"
        told = f"request {asked.number} was sent {asked.given} times"
        assert asked.given <= asked.most_given, told

    def end(self, asked: Asked, how: str) -> None:
        """Its client has an answer, or sees that there will be none."""
        assert not asked.ended, f"request {asked.number} ended twice: {asked.ended}, {how}"
        asked.ended = how
        self.ends[how] = self.ends.get(how, 0) + 1
        if how not in ("answered", "left"):
            self.kernel.note("request", asked.number, "ended:", how)
            assert not self.harmless, f"request {asked.number} was {how} for no reason"


class Hearing:
    """An answer as its client gets it, checked as it comes."""

    __slots__ = ("answer", "asked", "at", "book", "status")

    def __init__(self, book: Book, asked: Asked, status: int, number: str) -> None:
        self.book = book
        self.asked = asked
        self.status = status
        self.at = 0  # bytes of the body that came
        self.answer: Answer | None = None
        if number:
            answer = book.answers[int(number)]
            assert answer.asked is asked, f"{asked.number} got the answer to {answer.asked.number}"
            assert answer.status == status, f"{asked.number}: {status} in place of {answer.status}"
            self.answer = answer
        else:
            assert status in (400, 404, 408, 429, 502, 503, 504), f"{asked.number}: {status}"
            assert not book.harmless, f"request {asked.number} was refused with {status}"

    def body(self, data: bytes) -> None:
        answer = self.answer
        start = self.at
        self.at = end = start + len(data)
        if answer is None:
            return
        heard = answer.heard
        size = len(heard) or answer.size
        assert end <= size, f"answer {answer.number} has more than {size} bytes"
        if data != (heard[start:end] if heard else content(answer.number, start, end)):
            raise AssertionError(f"answer {answer.number}: lost, doubled or changed at {start}")

    def whole(self) -> None:
        """Its client sees that this was all."""
        answer = self.answer
        if answer is None:
            self.book.end(self.asked, f"refused with {self.status}")
            return
        size = len(answer.heard)
        if not size or (answer.truncated and self.at < size):
            assert answer.finished, f"answer {answer.number} was cut and looks whole"
            size = answer.size if not size else self.at
        assert self.at == size, f"answer {answer.number} ends at {self.at} of {size}"
        self.book.end(self.asked, "answered")
        tenant = self.asked.tenant
        self.book.spent[tenant] = self.book.spent.get(tenant, 0.0) + answer.tokens
        if b'"usage"' not in answer.data:
            self.book.guessed.add(tenant)

    def cut(self) -> None:
        """Its client sees that it is not whole."""
        self.book.end(self.asked, "cut")


class Given:
    """A request as an endpoint gets it, checked as it comes."""

    __slots__ = ("asked", "at", "data", "target", "whole")

    def __init__(self, book: Book, target: str, method: str, number: str = "") -> None:
        self.asked = book.asked[int(number or target[1:])]
        self.target = target
        self.data = bytearray()  # a prompt's
        assert method == self.asked.method, f"{method} in place of {self.asked.method}"
        self.at = 0
        self.whole = False
        book.given(self.asked)

    def body(self, data: bytes) -> None:
        start = self.at
        self.at = end = start + len(data)
        asked = self.asked
        if asked.data:
            self.data += data
            return
        assert end <= asked.size, f"request {asked.number} has more than {asked.size} bytes"
        if data != content(asked.number, start, end):
            raise AssertionError(f"request {asked.number}: lost, doubled or changed at {start}")

    def end(self) -> None:
        asked = self.asked
        assert asked.sent, f"request {asked.number} looks whole and is not sent"
        self.whole = True
        if asked.data:
            check_prompt(asked.data, bytes(self.data))
            return
        assert self.at == asked.size, f"request {asked.number} ends at {self.at} of {asked.size}"
