"""Endpoints that an HTTP server lists, as Prometheus's http_sd does, or in our own form."""

from typing import ClassVar

from penstock.config.load.targets import TargetsError, read_targets
from penstock.control.discovery.asking import InventoryClient
from penstock.control.discovery.provider import Answer, Provider, ProviderError
from penstock.control.threads import in_thread
from penstock.core.snapshot.discovery import HttpDiscovery


class HttpProvider(Provider):
    """Asks again after a while."""

    name: ClassVar[str] = "http"

    def __init__(self, settings: HttpDiscovery) -> None:
        super().__init__(settings)
        self.longest_pause_s = max(self.first_pause_s, settings.interval_s)
        self._asked: HttpDiscovery = settings
        self._client = InventoryClient(settings.headers, settings.ca_file)

    async def look(self) -> Answer:
        """By what the server answers now."""
        shown = self._asked.url.partition("?")[0]
        said = await self._client.get(self._asked.url, self._asked.timeout_s)
        try:
            found = await in_thread(lambda: read_targets(said.body, shown), "targets")
        except TargetsError as error:
            raise ProviderError(str(error)) from error
        return Answer(found, self._asked.interval_s)

    async def close(self) -> None:
        await self._client.close()
