"""Publishes the number as a metric, ``penstock_scale_desired``: whoever likes acts on it."""

from typing import ClassVar

from penstock.control.scale.actuator import Actuator, Unit


class Publish(Actuator):
    name: ClassVar[str] = "publish"

    @property
    def acts(self) -> bool:
        return False

    def units(self) -> list[Unit]:
        return []

    async def start(self, count: int) -> None:
        """Somebody else does."""

    async def stop(self, name: str) -> None:
        """Somebody else does."""
