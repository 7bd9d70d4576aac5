"""What most tests on a stage begin with, and what they look at in answers."""

from tests.harness.fake.stage import Stage
from tests.harness.fake.stream import End
from tests.harness.messages import get


def ask(stage: Stage, request: bytes = b"") -> tuple[End, End]:
    """A client whose request is at endpoint 0, and the endpoint's end of its connection."""
    client = stage.client()
    stage.send(client, request or get())
    endpoint, _ = stage.asked(0)
    return client, endpoint


def status_of(data: bytes) -> int:
    """Of the first answer in these bytes; 0 for none."""
    return int(data.split(b" ")[1]) if data else 0


def body_of(data: bytes) -> bytes:
    return data.partition(b"\r\n\r\n")[2]
