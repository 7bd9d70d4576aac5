"""Where a Kubernetes API server is and who asks it: what a pod is given, what is configured, or
what a kubeconfig says."""

import os
import ssl
import tempfile
from pathlib import Path
from typing import Final

from penstock.config.load.kubeconfig import Kubeconfig, read_kubeconfig
from penstock.control.discovery.asking import InventoryClient
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
        *,
        kubeconfig: str = "",
        context: str = "",
    ) -> None:
        self._server = server
        self._namespace = namespace
        self._token_file = token_file
        self._pod = pod
        self._ca_file = ca_file
        self._kubeconfig = kubeconfig
        self._context = context

    def client(self) -> InventoryClient:
        """Asks the server, whose authorities are read with its first question."""
        return InventoryClient(tls=self._tls)

    @property
    def namespace(self) -> str:
        """The one that is given, the kubeconfig's, or the pod's."""
        if self._namespace:
            return self._namespace
        if self._kubeconfig:
            return self._read_kubeconfig().namespace or "default"
        return self._read("namespace") or "default"

    def url(self, path: str) -> str:
        """Raises ProviderError outside of a cluster where no server is given."""
        server = self._server
        if self._kubeconfig:
            server = self._read_kubeconfig().server
        if not server:
            host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
            if not host:
                raise ProviderError(
                    "this is no pod of a cluster: give `kubeconfig`, or `server` and `token_file`"
                )
            shown = f"[{host}]" if ":" in host else host
            server = f"https://{shown}:{os.environ.get('KUBERNETES_SERVICE_PORT', '443')}"
        return server.rstrip("/") + path

    def headers(self) -> list[tuple[str, str]]:
        """The token changes within the hour in a pod. Raises ProviderError."""
        token, token_file = "", self._token_file
        if self._kubeconfig:
            read = self._read_kubeconfig()
            token, token_file = read.token, read.token_file
        if token_file:  # it goes before a token that stands there too, as with kubectl
            try:
                token = Path(token_file).read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ProviderError(f"{token_file} cannot be read: {error}") from error
        elif not self._kubeconfig:
            token = self._read("token")
        return [("Authorization", f"Bearer {token}")] if token else []

    def _tls(self) -> tuple[ssl.SSLContext, str]:
        """And the name that the server's certificate is verified for; empty: its host. Raises
        OSError and ProviderError."""
        if self._kubeconfig:
            read = self._read_kubeconfig()
            return _context_of(read), read.server_name
        ca_file = self._ca_file or ("" if self._server else str(self._pod / "ca.crt"))
        return ssl.create_default_context(cafile=ca_file or None), ""

    def _read_kubeconfig(self) -> Kubeconfig:
        """Anew each time, as tools write new tokens into it."""
        try:
            return read_kubeconfig(Path(self._kubeconfig), self._context)
        except ValueError as error:
            raise ProviderError(str(error)) from error

    def _read(self, name: str) -> str:
        """Of what the cluster gives to pods; empty where there is none."""
        if self._server:
            return ""
        try:
            return (self._pod / name).read_text().strip()
        except (OSError, UnicodeDecodeError):
            return ""


def _context_of(read: Kubeconfig) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=read.ca_file or None, cadata=read.ca_data or None)
    if read.certificate_file and read.key_file:
        context.load_cert_chain(read.certificate_file, read.key_file)
    elif read.certificate_file or read.certificate_data:
        certificate = read.certificate_data or Path(read.certificate_file).read_bytes()
        key = read.key_data or Path(read.key_file).read_bytes()
        # Python's ssl loads from files alone; this one is ours, and gone at once.
        with tempfile.NamedTemporaryFile(prefix="penstock-") as file:
            file.write(certificate + b"\n" + key)
            file.flush()
            context.load_cert_chain(file.name)
    return context
