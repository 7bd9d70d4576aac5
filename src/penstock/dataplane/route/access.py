"""What a head shows of who asks, on a route that wants to know.

Made with the plan and remembered with it: so it holds the digest of a key, and never what that is
good for, which may end at any time.
"""

from urllib.parse import parse_qs

from penstock.core.caller import Caller
from penstock.core.tenants import KeyRecord, Tenants, digest_of
from penstock.dataplane.pool.live_pool import LivePool
from penstock.dataplane.route.model_list import about_models
from penstock.dataplane.route.tokens import Tokens
from penstock.wire.api_family import family_of
from penstock.wire.client_certificate import ClientCertificate
from penstock.wire.forwarding import Edit
from penstock.wire.http1 import RequestHead
from penstock.wire.presented_key import edits_without_key, presented_key, target_without_key


class Access:
    """Of one plan. ``digest`` is b"" where no key is shown."""

    def __init__(
        self,
        head: RequestHead,
        tenants: Tenants,
        required: bool,
        shown: Caller,
        certificate: ClientCertificate | None,
    ) -> None:
        key = presented_key(head)
        self.digest: bytes = digest_of(key) if key else b""
        self.token: bytes = key if Tokens.may_be(key) else b""
        # A browser asks whether it may ask, without any credentials (Fetch, 3.3.5).
        asks_leave = (
            head.method == b"OPTIONS"
            and head.value(b"access-control-request-method") is not None
            and not key
        )
        self.required: bool = required and not asks_leave
        self.edits: list[Edit] = edits_without_key(head)
        self.target: bytes = target_without_key(
            head.target,
            lambda value: value == key or tenants.by_digest(digest_of(value)) is not None,
        )
        versioned = head.value(b"anthropic-version") is not None
        self.family: int = family_of(head.target, versioned)
        self.anthropic: bool = versioned
        self.model_list: ModelList | None = None  # of a request for the list of models
        self._shown: Caller = shown
        self._common_name: str = certificate.common_name if certificate is not None else ""
        self._certified: bool = certificate is not None

    def record(self, tenants: Tenants, tokens: Tokens) -> KeyRecord | None:
        """Whom the head tells of, by what is known now."""
        if self.digest:
            found = tenants.by_digest(self.digest)
            if found is None and self.token:
                return tokens.remembered(self.digest)
            return found
        if self._certified:
            return tenants.by_certificate(self._shown, self._common_name)
        return None


class ModelList:
    """A request for the list of models, or for one of them: what it gets depends on its key."""

    def __init__(self, path: str, pools: list[LivePool], anthropic: bool) -> None:
        self._path: str = path
        self._pools: list[LivePool] = pools
        self._anthropic: bool = anthropic

    def body(self, record: KeyRecord | None) -> bytes:
        """What it is told; b"" where an endpoint is to be asked."""
        return about_models(self._path, self._pools, anthropic=self._anthropic, record=record)


def model_in_query(target: bytes) -> str:
    """The model that a request to change the protocol names (OpenAI's Realtime API)."""
    query = target.partition(b"?")[2].decode("latin-1")
    return parse_qs(query).get("model", [""])[0]
