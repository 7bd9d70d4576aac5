"""Listening sockets: one per worker and listener, shared, kept, and refused with reasons."""

import socket

import pytest
from msgspec.structs import replace

from penstock.control.workers.sockets import ListenError, ListeningSockets
from tests.unit.control.worlds import listener


def test_each_worker_has_its_own_socket_on_the_same_port(sockets: ListeningSockets) -> None:
    main = listener()
    sockets.open([main])
    first, second = sockets.of_worker(main, 0), sockets.of_worker(main, 1)
    assert first.fileno() != second.fileno()
    assert first.getsockname() == second.getsockname() == sockets.address(main)
    assert first.getblocking() is False


def test_connections_are_taken_before_any_worker_runs(sockets: ListeningSockets) -> None:
    main = listener()
    sockets.open([main])
    socket.create_connection(sockets.address(main), timeout=5).close()


def test_sockets_stay_when_a_listener_is_renamed(sockets: ListeningSockets, free_port: int) -> None:
    sockets.open([listener("a")])
    port = sockets.address(listener("a"))[1]
    with pytest.raises(ListenError):
        sockets.open([listener("b", port)])  # ours, but not as a listener of that port
    port = free_port
    sockets.open([listener("a", port)])
    kept = sockets.of_worker(listener("a", port), 0)
    sockets.open([listener("b", port)])
    sockets.close_except([listener("b", port)])
    assert sockets.of_worker(listener("b", port), 0) is kept
    assert kept.fileno() >= 0


def test_port_0_gives_each_listener_its_own_port_and_keeps_it(sockets: ListeningSockets) -> None:
    sockets.open([listener("a"), listener("b")])
    before = sockets.address(listener("a"))
    assert before != sockets.address(listener("b"))
    sockets.open([listener("a")])
    assert sockets.address(listener("a")) == before


def test_an_address_in_use_is_refused_and_nothing_stays_open(sockets: ListeningSockets) -> None:
    free = listener("free")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ListenError) as refused:
            sockets.open([free, listener("taken", port)])
    assert str(refused.value).startswith(f"listener 'taken' cannot listen on 127.0.0.1:{port}: ")
    assert "listen" in str(refused.value).partition(f":{port}: ")[2]
    with pytest.raises(KeyError):
        sockets.address(free)


def test_a_second_balancer_does_not_share_a_port_by_accident(sockets: ListeningSockets) -> None:
    sockets.open([listener("a")])
    port = sockets.address(listener("a"))[1]
    second = ListeningSockets(1)
    with pytest.raises(ListenError, match="itself listens there"):
        second.open([listener("a", port)])


def test_a_successor_shares_the_port_of_orphans(sockets: ListeningSockets) -> None:
    sockets.open([listener("a")])
    port = sockets.address(listener("a"))[1]
    successor = ListeningSockets(1, may_share=lambda asked: asked == port)
    successor.open([listener("a", port)])
    assert successor.address(listener("a", port))[1] == port
    successor.close_except(())


def test_an_address_of_another_machine_is_refused(sockets: ListeningSockets) -> None:
    with pytest.raises(ListenError, match="this machine has no such address"):
        sockets.open([listener("a", 8080, "192.0.2.1")])


def test_an_unknown_host_name_is_refused(sockets: ListeningSockets) -> None:
    with pytest.raises(ListenError, match=r"cannot listen on nowhere\.invalid:8080"):
        sockets.open([listener("a", 8080, "nowhere.invalid")])


def test_sockets_for_datagrams_are_kept_like_others_and_need_a_port_of_their_own(
    sockets: ListeningSockets, free_port: int
) -> None:
    web = listener("web", free_port)
    arena = replace(listener("arena", free_port), protocol="udp")
    sockets.open([web, arena])
    first, second = sockets.of_worker(arena, 0), sockets.of_worker(arena, 1)
    assert first.type == second.type == socket.SOCK_DGRAM
    assert first.getsockname() == second.getsockname() == ("127.0.0.1", free_port)
    assert sockets.of_worker(web, 0).type == socket.SOCK_STREAM
    assert first.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 64 * 1024
    sockets.open([web, arena])
    sockets.close_except([arena])
    assert sockets.of_worker(arena, 0) is first
    assert first.fileno() >= 0


def test_port_of_datagrams_that_another_has_is_refused(sockets: ListeningSockets) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        taken = replace(listener("arena", other.getsockname()[1]), protocol="udp")
        with pytest.raises(ListenError, match="another program, or another Penstock"):
            sockets.open([taken])
