"""What a supervisor hands over, and what its successor makes of it."""

from penstock import __version__
from penstock.control.parts import Parts
from penstock.control.upgrade.borrowing import Borrowers
from penstock.control.upgrade.messages import (
    PROTOCOL,
    HandedBoard,
    HandedListener,
    Memo,
    Offer,
    Yours,
)
from penstock.control.workers.takeover import Process, identify


def memo_of(parts: Parts) -> Memo:
    """All that is known at this moment and not configured."""
    parts.forecasts.save()
    scalers = parts.scaling.known()  # this and the line above write state files
    return Memo(
        endpoints=parts.states.known(),
        ejections=parts.outliers.known(),
        maintenance=parts.maintenance.known(),
        state_files=parts.state_files.in_memory(),
        members=parts.membership.known(),
        scalers=scalers,
        scaling_holder=parts.scaling.holder,
        additions=parts.additions.known(),
        limits=parts.limits.handed(),
    )


def expect(memo: Memo, parts: Parts) -> None:
    """Know it before the first snapshot is made."""
    parts.states.restore(memo.endpoints)
    parts.maintenance.restore(memo.maintenance)
    parts.state_files.take_over(memo.state_files)  # forecasts begin with the first snapshot
    parts.membership.restore(memo.members)
    if memo.additions is not None:
        parts.additions.restore(memo.additions)


def take_over(yours: Yours | None, offer: Offer, parts: Parts, borrowers: Borrowers) -> None:
    """It is ours now; ``yours`` is None where the predecessor died after its offer. ``borrowers``
    are its workers."""
    memo = yours.memo if yours is not None else offer.memo
    parts.states.restore(memo.endpoints)
    parts.outliers.restore(memo.ejections)
    parts.state_files.take_over(memo.state_files)
    parts.scaling.restore(memo.scalers, memo.scaling_holder)
    if memo.limits is not None:
        pid = offer.supervisor.pid
        parts.limits.take_over(
            memo.limits,
            lambda worker: borrowers.number(pid, worker),
            all_of_it=yours is not None,
        )
    parts.sockets.own_files()
    parts.sockets.let_go_of_handed()


def offer_of(
    parts: Parts,
    supervisor: Process,
    admin: tuple[tuple[str, int], int] | None,
    board: tuple[HandedBoard, int] | str,
) -> tuple[Offer, list[int]]:
    """The offer and its descriptors. ``admin`` is the address as configured and the socket's
    descriptor, ``board`` likewise, or why it is not shared."""
    listeners = []
    descriptors: list[int] = []
    for key, handed in parts.sockets.to_hand().items():
        port = parts.sockets.port(key)
        count = len(handed.sockets)
        listeners.append(HandedListener(key, port, count, handed.file, handed.foreign))
        descriptors += [sock.fileno() for sock in handed.sockets]
    if admin is not None:
        descriptors.append(admin[1])
    if not isinstance(board, str):
        descriptors.append(board[1])
    offer = Offer(
        protocol=PROTOCOL,
        version=__version__,
        supervisor=supervisor,
        workers=[identify(pid) for pid in parts.workers.pids],
        instance=parts.publisher.instance,
        generation=parts.publisher.generation,
        listeners=listeners,
        memo=memo_of(parts),
        admin=admin[0] if admin is not None else None,
        board=board[0] if not isinstance(board, str) else None,
        no_board_because=board if isinstance(board, str) else "",
    )
    return offer, descriptors
