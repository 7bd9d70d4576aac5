"""The document's part about QUIC: where connection ids have the server id."""

from typing import Annotated

from pydantic import Field

from penstock.config.document.section import Section, required, setting
from penstock.wire.quic import MAX_SERVER_ID_BYTES, MOST_CONFIGURATIONS


class QuicConnectionIds(Section):
    """How QUIC servers make connection ids, by QUIC-LB's plaintext form."""

    config: Annotated[int, Field(ge=0, lt=MOST_CONFIGURATIONS)] = setting(
        0, "The three leading bits of a connection id that is made so."
    )
    server_id_length: Annotated[int, Field(ge=1, le=MAX_SERVER_ID_BYTES)] = required(
        "Bytes of the server id, which follows the first byte."
    )
