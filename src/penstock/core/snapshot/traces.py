"""Which requests are traced, and where spans go."""

from penstock.core.snapshot.data import Data


class Traces(Data, frozen=True):
    collector: str  # its address, without the path of traces
    sample: float = 0.01  # share of requests that are traced whatever becomes of them
    errors: bool = True  # those that went wrong, besides
    slower_than_s: float = 0.0  # those that took so long, besides; 0.0: none
    service_name: str = "penstock"
    headers_file: str = ""  # of further headers for the collector; read by the supervisor alone
