"""What a block of a client's HTTP/2 header fields decides, made once for all streams that begin
with the same octets."""

from penstock.dataplane.client.http2_host import Http2Host
from penstock.dataplane.client.settings import ClientSettings
from penstock.dataplane.context import Context
from penstock.dataplane.route.plan import Plan
from penstock.wire.http1 import RequestHead
from penstock.wire.http2.header_block import HeaderBlock
from penstock.wire.http2.request_head import request_head_of


class Remembered:
    """A head, and its plan once there is one."""

    plan: Plan | None = None

    def __init__(self, head: RequestHead) -> None:
        self.head: RequestHead = head

    def planned(
        self, context: Context, host: Http2Host, settings: ClientSettings, address: str
    ) -> Plan:
        """Its plan, made anew where the snapshot is another."""
        planner = context.planner
        plan = self.plan
        if plan is None or plan.generation != planner.generation:
            scheme = "https" if host.is_secure() else "http"
            certificate = host.shown_certificate()
            plan = planner.plan(self.head, settings.listener, address, scheme, certificate)
            self.plan = plan
        return plan


class _RememberedPair:
    """The same block with a body behind it, and without."""

    with_body: Remembered | None = None
    without: Remembered | None = None


def remembered(block: HeaderBlock, bodiless: bool, settings: ClientSettings) -> Remembered:
    """What is known of the block. Raises BadMessage where it is no head of a request."""
    pair = block.derived
    if not isinstance(pair, _RememberedPair):
        pair = _RememberedPair()
        block.derived = pair
    found = pair.without if bodiless else pair.with_body
    if found is None:
        head = request_head_of(block, bodiless, settings.target_bytes, settings.merge_slashes)
        found = Remembered(head)
        if bodiless:
            pair.without = found
        else:
            pair.with_body = found
    return found
