"""What a supervisor does all the time, each as a task that goes on after a bug."""

import asyncio
from typing import Final

from penstock.control.parts import Parts
from penstock.control.world.certificates import try_files
from penstock.control.world.publish import PublishError
from penstock.core.health.slow_start import RAMP_S

_CERTIFICATES_S: Final = 2.0  # between two looks at the files
_RECLAIM_S: Final = 1.0


class Chores:
    """``begin`` starts them in the parts' background tasks, with which they end."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def begin(self) -> None:
        """They go on until ``end``."""
        parts = self._parts
        keep = parts.background.keep
        keep("watching the workers", parts.workers.watch)
        keep("outlier detection", parts.outliers.run)
        keep("reaching ejected endpoints", parts.reconnecting.run)
        keep("slow start", self._ramp)
        keep("prefix parity", parts.parity.run)
        keep("learning prefixes", parts.exact.run)
        keep("certificate files", self._watch_certificates)
        keep("board rows", self._reclaim_rows)
        keep("publishing members", parts.members_publisher.run)
        keep("scaling", parts.scaling.run)
        keep("addresses", self._keep_addresses)
        keep("forecasts", parts.forecasts.run)
        if parts.sharing is not None:
            keep("the shared store", parts.sharing.run)
        keep("tenants", parts.tenants.run)
        keep("passwords", parts.password_files.run)
        keep("budgets", parts.limits.run)
        keep("keys of issuers", parts.key_sets.run)
        keep("usage", parts.usage.run)
        keep("telling the service manager", parts.service_manager.watch)

    async def end(self) -> None:
        """End these, and the tasks of parts that have some of their own."""
        parts = self._parts
        await parts.background.stop()  # first: it may publish, and so begin others
        for part in (
            parts.checks,
            parts.agents,
            parts.engines,
            parts.models,
            parts.kv_events,
            parts.discoveries,
            parts.addresses,
            parts.fetched,
            parts.external_scalers,
        ):
            await part.stop()
        await parts.key_sets.close()

    async def _ramp(self) -> None:
        while True:
            await asyncio.sleep(RAMP_S)
            self._parts.states.ramp()

    async def _reclaim_rows(self) -> None:
        while True:
            await asyncio.sleep(_RECLAIM_S)
            self._parts.publisher.reclaim_rows()

    async def _watch_certificates(self) -> None:
        """Publish again when files changed and are usable; a half-written pair waits."""
        parts = self._parts
        complained_of: object = None
        while True:
            await asyncio.sleep(_CERTIFICATES_S)
            parts.revocations.look()
            changed = parts.files.changed()
            if not changed or changed == complained_of:
                continue
            names = ", ".join(sorted(path for path, _ in changed))
            try:
                await asyncio.to_thread(try_files, parts.publisher.running)
                await parts.publisher.refresh()
            except (ValueError, PublishError) as error:
                complained_of = changed
                parts.events.error(
                    "certificates.refused", f"{names} changed but cannot be loaded: {error}"
                )
                continue
            parts.events.info("certificates", f"{names} changed and was loaded")

    async def _keep_addresses(self) -> None:
        parts = self._parts

        async def refresh() -> None:
            try:
                await parts.publisher.refresh()
            except PublishError as error:
                parts.events.error("name.refused", f"changed addresses are not used: {error}")

        await parts.addresses.run(refresh)
