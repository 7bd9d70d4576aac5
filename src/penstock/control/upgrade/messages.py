"""What the two supervisors of an upgrade tell each other.

    new → old   Hello      who it is, and how it lays out a board
    old → new   Offer      with listening sockets, the admin socket, the board where both share it
    new → old   Ready      its workers serve; or Failed, and the old one goes on
    old → new   Yours      the states as they are now: the old one changes nothing from here on
    new → old   Taken      the old one's workers may stop

Afterwards, whenever workers that finish ask for of what limits allow:

    old → new   Borrow     answered by Lent

Refusal ends it from the old one's side, at any time. Where the old one dies after its Offer, the
new one goes on by itself: it has all that it needs, and ends the workers it finds. Where the new
one dies before it said Taken, the old one goes on, and ends the new one's workers.

``PROTOCOL`` goes up when a message comes to mean something else; fields are added with defaults,
and unknown ones are passed over, so that versions of one protocol understand each other either way.
"""

from typing import Any, Final, TypeAlias

import msgspec

from penstock.control.discovery.membership import KnownPart
from penstock.control.endpoints.known_state import KnownState
from penstock.control.endpoints.outliers import KnownEjection
from penstock.control.maintenance import KnownMaintenance
from penstock.control.scale.known_scaler import KnownScaler
from penstock.control.tenants.limits import HandedLimits
from penstock.control.workers.sockets import ListenKey
from penstock.control.workers.takeover import Process
from penstock.control.world.additions import KnownAdditions
from penstock.control.world.rows import GivenRows

PROTOCOL: Final = 1


class Hello(msgspec.Struct, tag="hello", tag_field="kind"):
    protocol: int
    version: str
    layouts: dict[str, int]  # of the board, by section
    workers: int  # that it will have
    source: str = ""  # its configuration's file


class HandedListener(msgspec.Struct):
    """``sockets`` of the descriptors are its own, in the order of workers."""

    key: ListenKey
    port: int  # the real one
    sockets: int
    file: tuple[int, int] | None = None  # device and inode of a socket file
    foreign: bool = False  # which is the service manager's


class HandedLeaving(msgspec.Struct):
    """Workers of a version before, which finish what they have."""

    indexes: tuple[int, int]
    workers: list[Process]


class HandedBoard(msgspec.Struct):
    """The board is among the descriptors. Ranges are from the first up to, without, the last."""

    indexes: tuple[int, int]  # of the new one's workers
    own: tuple[int, int]  # of the old one's
    leaving: list[HandedLeaving]
    rows: GivenRows


class Memo(msgspec.Struct):
    """All that is known and not configured."""

    endpoints: list[KnownState] = []
    ejections: list[KnownEjection] = []
    maintenance: list[KnownMaintenance] = []
    state_files: dict[str, bytes] = {}  # those that live in memory
    members: list[KnownPart] = []  # endpoints that the configuration does not list
    scalers: list[KnownScaler] = []
    learned: dict[str, Any] = {}  # by workers' policies, by pool (dataplane/worker/learned.py)
    scaling_holder: str = ""  # of the leases to scale pools
    additions: KnownAdditions | None = None  # pools and routes; None: it knows of none
    limits: HandedLimits | None = None  # None: it knows nothing of one ledger


class Offer(msgspec.Struct, tag="offer", tag_field="kind"):
    """Descriptors: those of the listeners, then the admin socket and the board where there are."""

    protocol: int
    version: str
    supervisor: Process
    workers: list[Process]
    instance: str
    generation: int
    listeners: list[HandedListener]
    memo: Memo
    admin: tuple[str, int] | None = None  # as configured
    board: HandedBoard | None = None
    no_board_because: str = ""


class Ready(msgspec.Struct, tag="ready", tag_field="kind"):
    pid: int


class Failed(msgspec.Struct, tag="failed", tag_field="kind"):
    reason: str


class Yours(msgspec.Struct, tag="yours", tag_field="kind"):
    memo: Memo
    reload: bool = False  # was asked for meanwhile
    workers: list[Process] = []
    sessions: list[tuple[str, str, int, str]] = []  # of UDP: listener, host, port, endpoint


class Taken(msgspec.Struct, tag="taken", tag_field="kind"):
    pass


class Refusal(msgspec.Struct, tag="refusal", tag_field="kind"):
    reason: str


class Upgrade(msgspec.Struct, tag="upgrade", tag_field="kind"):
    """Of ``penstock upgrade``: begin, with an installation's command (empty: the same one's)."""

    command: list[str] = []


class Told(msgspec.Struct, tag="told", tag_field="kind"):
    """How an upgrade ended, for people."""

    message: str
    ok: bool = True


class Borrow(msgspec.Struct, tag="borrow", tag_field="kind"):
    """A worker that finishes asks for of what limits allow, and gives back; of the successor."""

    pid: int  # of its supervisor
    worker: int
    asked: list[list[Any]]


class Lent(msgspec.Struct, tag="lent", tag_field="kind"):
    """As the owner of limits answers."""

    told: list[list[Any]]


Message: TypeAlias = (
    Hello | Offer | Ready | Failed | Yours | Taken | Refusal | Upgrade | Told | Borrow | Lent
)
