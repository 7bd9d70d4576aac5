"""A request as the decision core sees it: the facts a policy may decide by."""

from mypy_extensions import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class Request:
    """Facts about one request, fixed once it is parsed.

    ``key_hash`` is a stable unsigned 64-bit hash of what the pool's policy hashes by (a header,
    a cookie, the path, the source address; see ``Policy.key``), and 0 when the request has no
    such thing. ``source`` is the client's address as text.
    """

    def __init__(
        self,
        *,
        method: str = "GET",
        host: str = "",
        path: str = "/",
        source: str = "",
        key_hash: int = 0,
    ) -> None:
        self.method: str = method
        self.host: str = host
        self.path: str = path
        self.source: str = source
        self.key_hash: int = key_hash
