"""Where metrics are pushed."""

from penstock.core.snapshot.data import Data


class MetricsPush(Data, frozen=True):
    collector: str  # its address, without the path of metrics
    every_s: float = 15.0
    service_name: str = "penstock"
    headers_file: str = ""  # of further headers for the collector
