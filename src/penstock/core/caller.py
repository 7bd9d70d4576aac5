"""Who asks, as far as that is known: one place for admission, policies, log and metrics."""

from typing import Final


class Caller:
    """Empty where nothing tells it. Names, never secrets: ``key`` is what a key is called.

    It belongs to one request, and not to a remembered head: keys expire and are revoked. A
    certificate is the connection's, as its address is, and stays what it was.
    """

    def __init__(
        self,
        tenant: str = "",
        key: str = "",
        priority_class: str = "",
        certificate: str = "",
        fingerprint: str = "",
        priority: int = -1,
        weight: float = 1.0,
    ) -> None:
        self.tenant: str = tenant
        self.key: str = key
        self.priority_class: str = priority_class
        self.priority: int = priority  # what that class is, 0 most important; -1: as others have it
        self.weight: float = weight  # its tenant's share beside others' that wait
        self.certificate: str = certificate  # the subject of the client's, which was verified
        self.fingerprint: str = fingerprint  # SHA-256 of that certificate, in hexadecimal


ANYONE: Final = Caller()
