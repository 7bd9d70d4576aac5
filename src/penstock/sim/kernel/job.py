"""A request on its way through the simulated world, and back."""

from typing import Final

from mypy_extensions import i64, mypyc_attr, trait

from penstock.core.admission.waiter import Waiter
from penstock.core.attempts import Attempts
from penstock.core.endpoint import Endpoint
from penstock.core.measure.load_report import LoadReport
from penstock.core.request import Request
from penstock.core.ticket import DONE, Ticket
from penstock.sim.kernel.events import Event

# What the job's own event means when it fires.
GOING: Final[i64] = 0  # it reaches the server
SERVING: Final[i64] = 1  # its service ends
COMING: Final[i64] = 2  # the answer reaches the balancer


@mypyc_attr(allow_interpreted_subclasses=True)
@trait
class Station:
    """Where jobs are served."""

    def arrive(self, job: "Job") -> None:
        """``job`` is here."""
        raise NotImplementedError

    def end_service(self, job: "Job") -> None:
        """The work of ``job`` is done."""
        raise NotImplementedError

    def cancel(self, job: "Job") -> None:
        """The client of ``job``, which is here, no longer wants it."""
        raise NotImplementedError


@trait
class Sender:
    """Who sent jobs to stations, and hears of them."""

    def wants_report(self) -> bool:
        """Whether answers are to bring the station's load report."""
        raise NotImplementedError

    def send_back(self, job: "Job") -> None:
        """The answer, or the news of a failure, sets out."""
        raise NotImplementedError

    def on_first_byte(self, job: "Job") -> None:
        """The first byte of the answer came."""
        raise NotImplementedError

    def on_answer(self, job: "Job") -> None:
        """The answer, or the news of its failure, is here."""
        raise NotImplementedError


@trait
class Origin:
    """Where jobs come from."""

    def on_end(self, job: "Job") -> None:
        """``job`` has been answered, refused or given up."""
        raise NotImplementedError


class Job(Event):
    """One request: what it asks for, where it is, and when things happened to it.

    ``work_s`` is the service it needs, in seconds of a server of speed 1. Being one event, it is
    on its way, in service, or on its way back, never two of these.
    """

    def __init__(self, number: int, request: Request, work_s: float, born: float) -> None:
        super().__init__()
        self.number: int = number
        self.request: Request = request
        self.work_s: float = work_s
        self.left_s: float = work_s  # of work, kept up to date when a speed changes
        self.born: float = born
        self.began: float = born  # when service began
        self.first_byte_at: float = -1.0  # of this attempt; below 0: none yet
        self.stage: i64 = GOING
        self.outcome: int = DONE
        self.status: int = 200
        self.ended: bool = False  # for the client: answered, refused, timed out
        self.attempt_number: i64 = 0  # of the one under way or made last
        self.attempts: Attempts | None = None  # made when the first one fails
        self.arrived: float = born  # at the server
        self.met: i64 = 0  # how many were present at the server
        self.report: LoadReport | None = None  # that the server sends along
        self.ticket: Ticket | None = None
        self.server: Station | None = None
        self.balancer: Sender | None = None
        self.source: Origin | None = None
        self.client: Event | None = None  # who waits for the answer, in a closed loop
        self.deadline: Event | None = None
        self.admission: Waiter | None = None  # its place, where the balancer has a gate
        self.beside: Job | None = None  # the other of two attempts that run at once
        self.is_second: bool = False  # of these
        self.before: Job | None = None  # neighbours in the line that it stands in
        self.behind: Job | None = None

    def tried(self) -> list[Endpoint] | None:
        """The endpoints at which it failed."""
        attempts = self.attempts
        return attempts.tried if attempts is not None else None

    def fire(self) -> None:
        if self.stage == SERVING:
            server = self.server
            assert server is not None
            server.end_service(self)
        elif self.stage == GOING:
            server = self.server
            assert server is not None
            server.arrive(self)
        else:
            balancer = self.balancer
            assert balancer is not None
            balancer.on_answer(self)


class Line:
    """Jobs one behind another; joining at the end, leaving from anywhere in O(1)."""

    def __init__(self) -> None:
        self.first: Job | None = None
        self.last: Job | None = None
        self.length: i64 = 0

    def join(self, job: Job) -> None:
        """``job`` is the last."""
        last = self.last
        job.before = last
        job.behind = None
        if last is None:
            self.first = job
        else:
            last.behind = job
        self.last = job
        self.length += 1

    def leave(self, job: Job) -> None:
        """``job``, which must be in this line, goes."""
        before = job.before
        behind = job.behind
        if before is None:
            self.first = behind
        else:
            before.behind = behind
        if behind is None:
            self.last = before
        else:
            behind.before = before
        job.before = None
        job.behind = None
        self.length -= 1

    def jobs(self) -> list[Job]:
        """All of them, in order."""
        found: list[Job] = []
        job = self.first
        while job is not None:
            found.append(job)
            job = job.behind
        return found
