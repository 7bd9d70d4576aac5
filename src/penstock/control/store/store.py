"""What must be one for several balancers: values, leases, and word of changes.

Who scales, orders of certificates and changes at run time go through here. ``embedded`` is the
implementation of one balancer; others keep the same contract (``tests/contract/test_stores.py``).
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

NOT_THERE: Final = 0  # the revision of a key without a value


class StoreError(Exception):
    """The store cannot be asked now. The text is for people."""


@dataclass(frozen=True)
class Entry:
    """A value, and its revision: a number that no other value of the key ever had."""

    value: bytes
    revision: int


class Watch(AsyncIterator[str]):
    """Changed keys, without an end."""

    @abstractmethod
    async def aclose(self) -> None:
        """They are no longer wanted."""


class Store(ABC):
    """Keys are texts such as ``changes/endpoints``: letters, digits, and ``_``, ``-``, ``.``,
    ``:``, ``/``.

    Every method raises StoreError where the store cannot be reached; whoever calls goes on with
    what it knew.
    """

    @abstractmethod
    async def get(self, key: str) -> Entry | None:
        """The value; None where there is none."""

    @abstractmethod
    async def put_if_unchanged(self, key: str, value: bytes, revision: int) -> int | None:
        """Set it if it still has that revision (``NOT_THERE``: if there is none).

        The new revision; None where it has changed, and then nothing happened.
        """

    @abstractmethod
    async def remove_if_unchanged(self, key: str, revision: int) -> bool:
        """Remove it if it still has that revision; False where it has changed."""

    @abstractmethod
    async def keys(self, prefix: str) -> list[str]:
        """Those with a value that begin so, sorted."""

    @abstractmethod
    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        """Hold the name alone for that long from now, or longer if it is held already.

        False while another holds it. A holder that goes on asks again before a third of the time
        is left, and stops what it does under the lease when that fails.
        """

    @abstractmethod
    async def release(self, name: str, holder: str) -> None:
        """Give a lease back; nothing happens where another holds it."""

    @abstractmethod
    def watch(self, prefix: str) -> Watch:
        """Keys beginning so, each time their value changed or went since this was called.

        Changes in quick succession may be told once.
        """
