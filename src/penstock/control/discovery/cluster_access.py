"""Where a Kubernetes API server is and who asks it: what a pod is given, or what is configured."""

import os
from pathlib import Path
from typing import Final

from penstock.control.discovery.provider import ProviderError

POD: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class ClusterAccess:
    """``pod`` is where the cluster puts the token, authority and namespace of a pod."""

    def __init__(
        self,
        server: str = "",
        namespace: str = "",
        token_file: str = "",
        ca_file: str = "",
        pod: Path = POD,
    ) -> None:
        self._server = server
        self._namespace = namespace
        self._token_file = token_file
        self._pod = pod
        self.ca_file = ca_file or ("" if server else str(pod / "ca.crt"))

    @property
    def namespace(self) -> str:
        """The one that is given, or the pod's."""
        return self._namespace or self._read("namespace") or "default"

    def url(self, path: str) -> str:
        """Raises ProviderError outside of a cluster where no server is given."""
        server = self._server
        if not server:
            host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
            if not host:
                raise ProviderError("this is no pod of a cluster: give `server` and `token_file`")
            shown = f"[{host}]" if ":" in host else host
            server = f"https://{shown}:{os.environ.get('KUBERNETES_SERVICE_PORT', '443')}"
        return server.rstrip("/") + path

    def headers(self) -> list[tuple[str, str]]:
        """The token changes within the hour in a pod. Raises ProviderError."""
        token = self._read("token") if not self._token_file else ""
        if self._token_file:
            try:
                token = Path(self._token_file).read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ProviderError(f"{self._token_file} cannot be read: {error}") from error
        return [("Authorization", f"Bearer {token}")] if token else []

    def _read(self, name: str) -> str:
        """Of what the cluster gives to pods; empty where there is none."""
        if self._server:
            return ""
        try:
            return (self._pod / name).read_text().strip()
        except (OSError, UnicodeDecodeError):
            return ""
