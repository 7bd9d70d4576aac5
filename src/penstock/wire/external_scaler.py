"""The messages of KEDA's external scalers (kedacore/keda, externalscaler.proto), answered."""

from typing import Final

from penstock.wire.protobuf import DELIMITED, Fields, delimited, double, number

SERVICE: Final = "externalscaler.ExternalScaler"


class Asked:
    """What a call asks for: the metadata of its trigger, and the metric where one is named."""

    def __init__(self, metadata: dict[str, str], metric: str) -> None:
        self.metadata: dict[str, str] = metadata
        self.metric: str = metric


class Malformed(ValueError):
    """Bytes that are no such message."""


def decode_reference(message: bytes) -> Asked:
    """A ScaledObjectRef. Raises Malformed."""
    fields = Fields(message)
    asked = Asked(_metadata(fields), "")
    _check(fields)
    return asked


def decode_metrics_request(message: bytes) -> Asked:
    """A GetMetricsRequest. Raises Malformed."""
    asked = Asked({}, "")
    fields = Fields(message)
    while fields.advance():
        if fields.is_(1, DELIMITED):
            reference = fields.inside()
            asked.metadata = _metadata(reference)
            fields.heed(reference)
        elif fields.is_(2, DELIMITED):
            asked.metric = _text(fields)
    _check(fields)
    return asked


def encode_active(active: bool) -> bytes:
    """An IsActiveResponse."""
    return number(1, 1 if active else 0)


def encode_metric(name: str, value: int) -> bytes:
    """A GetMetricSpecResponse with a target, or a GetMetricsResponse with a value: both have a list
    of a name with an int64, which older versions read, and a double."""
    return delimited(1, delimited(1, name.encode()) + number(2, value) + double(3, float(value)))


def _metadata(reference: Fields) -> dict[str, str]:
    """Field 3 of a ScaledObjectRef, a map."""
    found: dict[str, str] = {}
    while reference.advance():
        if reference.is_(3, DELIMITED):
            entry = reference.inside()
            key = value = ""
            while entry.advance():
                if entry.is_(1, DELIMITED):
                    key = _text(entry)
                elif entry.is_(2, DELIMITED):
                    value = _text(entry)
            reference.heed(entry)
            found[key] = value
    return found


def _text(field: Fields) -> str:
    try:
        return field.octets().decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("a text is not UTF-8") from error


def _check(fields: Fields) -> None:
    if fields.malformed:
        raise Malformed("it is no message of Protocol Buffers")
