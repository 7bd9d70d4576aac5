"""What each side tells the other of itself (RFC 9113, 6.5; RFC 8441, 3; RFC 9218, 2.1)."""

import struct
from typing import Final

from penstock.wire.http2.codes import (
    ENABLE_CONNECT_PROTOCOL,
    ENABLE_PUSH,
    FLOW_CONTROL_ERROR,
    HEADER_TABLE_SIZE,
    INITIAL_WINDOW_BYTES,
    INITIAL_WINDOW_SIZE,
    LEAST_MAX_FRAME_BYTES,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    MAX_WINDOW_BYTES,
    MOST_MAX_FRAME_BYTES,
    NO_RFC7540_PRIORITIES,
    PROTOCOL_ERROR,
    ConnectionFault,
)

SETTING_BYTES: Final = 6
UNLIMITED: Final = 2**32 - 1
_SETTING: Final = struct.Struct(">HI")


class Settings:
    """One side's settings, the protocol's initial values until told otherwise."""

    def __init__(self) -> None:
        self.header_table_bytes: int = 4096
        self.enable_push: bool = True
        self.max_concurrent_streams: int = UNLIMITED
        self.initial_window_bytes: int = INITIAL_WINDOW_BYTES
        self.max_frame_bytes: int = LEAST_MAX_FRAME_BYTES
        self.max_header_list_bytes: int = UNLIMITED
        self.connect_protocol: bool = False
        self.no_rfc7540_priorities: bool = False

    def take(self, setting: int, value: int, from_server: bool) -> None:
        """A setting that the peer told. Raises ConnectionFault."""
        if setting == HEADER_TABLE_SIZE:
            self.header_table_bytes = value
        elif setting == ENABLE_PUSH:
            # A server may say only that it does not want to be pushed to (RFC 9113, 6.5.2).
            if value > 1 or (value == 1 and from_server):
                raise ConnectionFault(PROTOCOL_ERROR, "SETTINGS_ENABLE_PUSH is out of range")
            self.enable_push = value == 1
        elif setting == MAX_CONCURRENT_STREAMS:
            self.max_concurrent_streams = value
        elif setting == INITIAL_WINDOW_SIZE:
            if value > MAX_WINDOW_BYTES:
                raise ConnectionFault(
                    FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE is over 2^31-1"
                )
            self.initial_window_bytes = value
        elif setting == MAX_FRAME_SIZE:
            if not LEAST_MAX_FRAME_BYTES <= value <= MOST_MAX_FRAME_BYTES:
                raise ConnectionFault(PROTOCOL_ERROR, "SETTINGS_MAX_FRAME_SIZE is out of range")
            self.max_frame_bytes = value
        elif setting == MAX_HEADER_LIST_SIZE:
            self.max_header_list_bytes = value
        elif setting == ENABLE_CONNECT_PROTOCOL:
            if value > 1:
                raise ConnectionFault(
                    PROTOCOL_ERROR, "SETTINGS_ENABLE_CONNECT_PROTOCOL is neither 0 nor 1"
                )
            if self.connect_protocol and value == 0:  # RFC 8441, 3
                raise ConnectionFault(PROTOCOL_ERROR, "extended CONNECT was offered and withdrawn")
            self.connect_protocol = value == 1
        elif setting == NO_RFC7540_PRIORITIES:
            if value > 1:
                raise ConnectionFault(
                    PROTOCOL_ERROR, "SETTINGS_NO_RFC7540_PRIORITIES is neither 0 nor 1"
                )
            self.no_rfc7540_priorities = value == 1

    def payload(self, is_client: bool) -> bytes:
        """A SETTINGS frame's payload with all that differs from the initial values."""
        initial = Settings()
        told: list[tuple[int, int]] = []
        if self.header_table_bytes != initial.header_table_bytes:
            told.append((HEADER_TABLE_SIZE, self.header_table_bytes))
        if is_client:
            told.append((ENABLE_PUSH, 0))
        elif self.max_concurrent_streams != UNLIMITED:
            told.append((MAX_CONCURRENT_STREAMS, self.max_concurrent_streams))
        if self.initial_window_bytes != initial.initial_window_bytes:
            told.append((INITIAL_WINDOW_SIZE, self.initial_window_bytes))
        if self.max_frame_bytes != initial.max_frame_bytes:
            told.append((MAX_FRAME_SIZE, self.max_frame_bytes))
        if self.max_header_list_bytes != UNLIMITED:
            told.append((MAX_HEADER_LIST_SIZE, self.max_header_list_bytes))
        if self.connect_protocol and not is_client:
            told.append((ENABLE_CONNECT_PROTOCOL, 1))
        if not is_client:
            told.append((NO_RFC7540_PRIORITIES, 1))
        return pack_settings(told)


def pack_settings(told: list[tuple[int, int]]) -> bytes:
    """The payload of a SETTINGS frame."""
    return b"".join([_SETTING.pack(setting, value) for setting, value in told])


def unpack_settings(payload: bytes) -> list[tuple[int, int]]:
    """The settings in a payload, whose length is a multiple of six."""
    settings: list[tuple[int, int]] = []
    for setting, value in _SETTING.iter_unpack(payload):
        settings.append((setting, value))
    return settings
