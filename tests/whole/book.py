"""What was asked and answered: every body is numbered, and every request ends exactly once."""

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

    __slots__ = ("answers", "ended", "given", "method", "number", "over", "sent", "size")

    def __init__(self, number: int, method: str, size: int) -> None:
        self.number = number
        self.method = method
        self.size = size  # of its body
        self.sent = False  # its client has sent all of it
        self.given = 0  # how often an endpoint got it
        self.answers = 0  # that endpoints began
        self.ended = ""
        self.over = False  # its client takes no more of it

    @property
    def repeatable(self) -> bool:
        return self.method not in ("POST", "TUNNEL")


class Answer:
    """What an endpoint says to a request, once more its client's than all the balancer's."""

    __slots__ = ("asked", "finished", "number", "size", "status")

    def __init__(self, number: int, asked: Asked, status: int, size: int) -> None:
        self.number = number
        self.asked = asked
        self.status = status
        self.size = size  # of its body, as its client is to have it
        self.finished = False  # all of it was sent


class Book:
    """``harmless``: nothing happened yet that a client may be refused or cut for."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.asked: list[Asked] = []
        self.answers: list[Answer] = []
        self.disturbed = ""  # by what first
        self.ends: dict[str, int] = {}

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
        assert asked.given == 1 or asked.repeatable, f"request {asked.number} was done twice"
        assert asked.given <= 4, f"request {asked.number} was sent {asked.given} times"

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
            assert status in (400, 408, 429, 502, 503, 504), f"{asked.number}: {status}"
            assert not book.harmless, f"request {asked.number} was refused with {status}"

    def body(self, data: bytes) -> None:
        answer = self.answer
        start = self.at
        self.at = end = start + len(data)
        if answer is not None:
            assert end <= answer.size, f"answer {answer.number} has more than {answer.size} bytes"
            if data != content(answer.number, start, end):
                raise AssertionError(f"answer {answer.number}: lost, doubled or changed at {start}")

    def whole(self) -> None:
        """Its client sees that this was all."""
        answer = self.answer
        if answer is None:
            self.book.end(self.asked, f"refused with {self.status}")
            return
        assert answer.finished, f"answer {answer.number} was cut and looks whole"
        assert self.at == answer.size, f"answer {answer.number} ends at {self.at} of {answer.size}"
        self.book.end(self.asked, "answered")

    def cut(self) -> None:
        """Its client sees that it is not whole."""
        self.book.end(self.asked, "cut")


class Given:
    """A request as an endpoint gets it, checked as it comes."""

    __slots__ = ("asked", "at", "whole")

    def __init__(self, book: Book, target: str, method: str) -> None:
        self.asked = book.asked[int(target[1:])]
        assert method == self.asked.method, f"{method} in place of {self.asked.method}"
        self.at = 0
        self.whole = False
        book.given(self.asked)

    def body(self, data: bytes) -> None:
        start = self.at
        self.at = end = start + len(data)
        asked = self.asked
        assert end <= asked.size, f"request {asked.number} has more than {asked.size} bytes"
        if data != content(asked.number, start, end):
            raise AssertionError(f"request {asked.number}: lost, doubled or changed at {start}")

    def end(self) -> None:
        asked = self.asked
        assert asked.sent, f"request {asked.number} looks whole and is not sent"
        assert self.at == asked.size, f"request {asked.number} ends at {self.at} of {asked.size}"
        self.whole = True
