"""Sessions: connections of TCP, or a UDP peer's datagrams, which stay where they are."""

from penstock.core.request import Request
from penstock.core.ticket import CONNECT_FAILED, DONE
from penstock.sim.kernel.events import Clock
from penstock.sim.kernel.job import SERVING, Job, Line
from penstock.sim.kernel.laws import Law
from penstock.sim.kernel.server import Server, checked_slots


class SessionJob(Job):
    """One session. ``work_s`` is how long it lasts, whatever server it is on."""

    def __init__(self, number: int, request: Request, work_s: float, born: float) -> None:
        super().__init__(number, request, work_s, born)
        self.moves: int = 0  # because its server died
        self.on_server_since: float = born


class SessionRules:
    """What becomes of sessions whose server died."""

    def __init__(self, moves: bool, rejoin: Law | None) -> None:
        self.moves: bool = moves  # to another one at once, as UDP's do
        self.rejoin: Law | None = rejoin  # else: when their clients are back; None: never


class SessionServer(Server):
    """Holds sessions, each for its length: one more takes nothing from the others.

    ``slots`` is how many it is meant to hold, ``room`` how many it takes at most: it refuses
    further ones as a full listen queue does. A session that lives on after its server died has
    ``left_s`` to go.
    """

    def __init__(
        self, name: str, clock: Clock, *, slots: int = 1, speed: float = 1.0, room: int = 0
    ) -> None:
        super().__init__(name, clock, speed=speed, room=room)
        self.full_slots = float(checked_slots(name, slots))
        self.most_present: int = 0
        self._sessions: Line = Line()
        self._held_s: float = 0.0
        self._held_at: float = 0.0

    def slots(self) -> float:
        return self.full_slots

    def set_speed(self, speed: float) -> None:
        self.speed = speed  # a session lasts as long as its client wants

    def busy_s(self) -> float:
        now = self.clock.now
        self._held_s += (now - self._held_at) * float(self._sessions.length)
        self._held_at = now
        return self._held_s

    def end_service(self, job: Job) -> None:
        self._depart(job)
        self.present -= 1
        self.served += 1
        if self.telemetry is not None:
            now = self.clock.now
            self.telemetry.on_end(int(job.met), now - job.arrived, now - job.arrived, now)
        self._answer(job, DONE, 200)

    def _turn_away(self, job: Job) -> None:
        self._answer(job, CONNECT_FAILED, 0)

    def _admit(self, job: Job) -> None:
        assert isinstance(job, SessionJob)
        self.busy_s()
        now = self.clock.now
        self._sessions.join(job)
        self.most_present = max(self.most_present, int(self.present))
        if job.moves == 0:
            job.began = now
        job.on_server_since = now
        job.stage = SERVING
        self.clock.heap.schedule(job, now + job.left_s)

    def _depart(self, job: Job) -> None:
        assert isinstance(job, SessionJob)
        self.busy_s()
        stayed_s = self.clock.now - job.on_server_since
        job.left_s = max(0.0, job.left_s - stayed_s)
        self.work_done_s += stayed_s
        self._sessions.leave(job)
        self.clock.heap.cancel(job)

    def _held(self) -> list[Job]:
        return self._sessions.jobs()
