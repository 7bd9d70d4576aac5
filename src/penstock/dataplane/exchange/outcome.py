"""What became of one exchange, as far as its line in the log tells it. Made only where there is a
log."""

from penstock.core.caller import ANYONE, Caller
from penstock.dataplane.exchange.dispatch import Dispatch
from penstock.dataplane.exchange.inspection import Inspection
from penstock.dataplane.llm.answer_reading import AnswerReading
from penstock.dataplane.llm.prompt_body import PromptBody
from penstock.dataplane.route.connection_plan import ConnectionPlan
from penstock.dataplane.route.plan import Plan
from penstock.dataplane.tunnel.relay import Relay
from penstock.wire.http1 import RequestHead


class ServedOutcome:
    """Of whatever was sent to an endpoint."""

    pool: bytes = b"-"
    endpoint: bytes = b"-"
    peer: bytes = b""  # the address that the last attempt went to
    attempts: int = 0
    queued_s: float = 0.0
    preempted: int = 0  # how often it lost its place to a more important one
    connect_s: float = 0.0
    why: str = ""

    def take_dispatch(self, dispatch: Dispatch) -> None:
        """Who served it, and how long that took to find."""
        self.pool = dispatch.pool.log_name
        self.attempts += dispatch.attempt_number
        if dispatch.waiter is not None:
            self.queued_s = dispatch.waiter.queued_s
            self.preempted = dispatch.waiter.preempted
        attempt = dispatch.attempt
        if attempt is not None:
            self.endpoint = attempt.endpoint.log_name
            self.peer = attempt.peer
            self.connect_s = attempt.connect_s


class Outcome(ServedOutcome):
    """Of a request."""

    status: int = 0  # answered to the client; 0: none
    response_bytes: int = 0
    bytes_from_client: int = -1  # since its protocol was changed; -1: it was not
    grpc_status: int = -1
    parse_s: float = 0.0
    first_byte_at: float = 0.0
    prefill: bytes = b""  # the endpoint that computed its prompt, where that is another
    endpoints_id: bytes = b""  # the request's id as the endpoint tells it
    unread: str = ""
    caller: Caller = ANYONE
    prompt: PromptBody | None = None
    answer: AnswerReading | None = None
    tells_usage: bool = False
    resumed: int = 0  # times that another endpoint went on with the answer
    over_websocket: bool = False  # it was asked for by a message of one
    hedged: bool = False  # a second endpoint was asked beside the first

    def __init__(
        self, head: RequestHead, plan: Plan, request_id: bytes, began: float, ended: str
    ) -> None:
        self.head: RequestHead = head
        self.plan: Plan = plan
        self.request_id: bytes = request_id
        self.began: float = began
        self.ended: str = ended  # how, in one word

    def take_dispatch(self, dispatch: Dispatch) -> None:
        """Who served it, and who asked."""
        super().take_dispatch(dispatch)
        learning = dispatch.pool.learning
        self.tells_usage = learning is not None and learning.usage != "off"
        self.caller = dispatch.request.caller

    def take_inspection(self, inspection: Inspection) -> None:
        """What was understood of its body."""
        self.unread = inspection.unread
        self.prompt = inspection.prompt

    def take_relay(self, relay: Relay) -> None:
        """What passed since its protocol was changed."""
        self.response_bytes += relay.bytes_from_endpoint
        self.bytes_from_client = relay.bytes_from_client


class ConnectionOutcome(ServedOutcome):
    """Of a connection, or a UDP session, that was relayed unread."""

    bytes_from_client: int = 0
    bytes_to_client: int = 0
    first_byte_s: float = -1.0  # since it began; negative: none came
    protocol: bytes = b"tcp"
    of_protocol: bytes = b""  # keys that only it has, each with a comma before it

    def __init__(self, plan: ConnectionPlan, listener: str, request_id: bytes, ended: str) -> None:
        self.plan: ConnectionPlan = plan
        self.listener: str = listener
        self.request_id: bytes = request_id
        self.ended: str = ended
