"""A DNS server whose records a test changes, with what goes wrong with DNS."""

import socket
import threading
from types import TracebackType
from typing import Literal, Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

_LARGEST_DATAGRAM = 512  # without EDNS (RFC 1035, 4.2.1)


class DnsServer:
    """Answers from ``records``: by name and type, the values as zone files have them."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[str]] = {}
        self.ttl_s = 0
        # ``mute`` answers nothing; ``failing``: SERVFAIL; ``no_tcp``: refuses connections.
        self.mood: Literal["well", "mute", "failing"] = "well"
        self.failing_types: set[str] = set()
        self.asked: list[tuple[str, str, str]] = []  # name, type, udp or tcp
        self._udp, self._tcp = _sockets_of_one_port()
        self.port: int = self._udp.getsockname()[1]
        for work in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=work, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def say(self, name: str, record: str, *values: str) -> None:
        """From now on these are the records of that type."""
        self.records[name, record] = list(values)

    def close(self) -> None:
        for each in (self._udp, self._tcp):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _serve_udp(self) -> None:
        while True:
            try:
                data, client = self._udp.recvfrom(65535)
                if not data:
                    return
                answer = self._answer(data, "udp")
                if answer is not None:
                    self._udp.sendto(answer, client)
            except OSError:
                return

    def _serve_tcp(self) -> None:
        while True:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            with connection:
                head = connection.recv(2, socket.MSG_WAITALL)
                data = connection.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
                answer = self._answer(data, "tcp")
                if answer is not None:
                    connection.sendall(len(answer).to_bytes(2, "big") + answer)

    def _answer(self, data: bytes, over: str) -> bytes | None:
        query = dns.message.from_wire(data)
        [question] = query.question
        name = question.name.to_text(omit_final_dot=True).lower()
        record = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, record, over))
        if self.mood == "mute":
            return None
        response = dns.message.make_response(query)
        if self.mood == "failing" or record in self.failing_types:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response.to_wire()
        alias = self.records.get((name, "CNAME"))
        if alias:
            self._add(response, question.name, "CNAME", alias)
            question_name = dns.name.from_text(alias[0])
            name = question_name.to_text(omit_final_dot=True)
        else:
            question_name = question.name
        values = self.records.get((name, record), [])
        if values:
            self._add(response, question_name, record, values)
        elif not any(known == name for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        wire = response.to_wire(max_size=65535)
        if over == "udp" and len(wire) > _LARGEST_DATAGRAM:
            cut = dns.message.make_response(query)
            cut.flags |= dns.flags.TC
            return cut.to_wire()
        return wire

    def _add(
        self, response: dns.message.Message, name: dns.name.Name, record: str, values: list[str]
    ) -> None:
        response.answer.append(dns.rrset.from_text(name, self.ttl_s, "IN", record, *values))


def _sockets_of_one_port() -> tuple[socket.socket, socket.socket]:
    for _ in range(50):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tcp.bind(udp.getsockname())
        except OSError:  # somebody's already
            udp.close()
            tcp.close()
            continue
        tcp.listen()
        return udp, tcp
    raise AssertionError("no port is free over both UDP and TCP")
