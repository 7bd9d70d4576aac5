"""What nginx, HAProxy, Envoy, Traefik, Caddy, LiteLLM and inference routers call policies."""

from typing import Final

# In lower case with "-". Ours is what comes nearest to what the other does.
_OURS: Final[dict[str, str]] = {
    # fewest requests: nginx, Caddy; HAProxy; Envoy; LiteLLM
    "least-conn": "least-request",
    "least-connection": "least-request",
    "least-connections": "least-request",
    "leastconn": "least-request",
    "leastconnections": "least-request",
    "leastrequest": "least-request",
    "least-requests": "least-request",
    "least-loaded": "least-request",
    "least-busy": "least-request",
    "least-outstanding-requests": "least-request",
    "queue-length": "least-request",
    "jsq": "join-shortest-queue",
    "jiq": "join-idle-queue",
    # in turn: HAProxy, Traefik, vLLM
    "roundrobin": "round-robin",
    "rr": "round-robin",
    "wrr": "round-robin",
    "static-rr": "round-robin",
    "weighted": "round-robin",
    "weighted-round-robin": "round-robin",
    # by chance: nginx, Traefik, Caddy, SGLang; LiteLLM
    "p2c": "power-of-two",
    "power-of-two-choices": "power-of-two",
    "random-two": "power-of-two",
    "two-choices": "power-of-two",
    "random-choose": "power-of-two",
    "pick-2": "power-of-two",
    "simple-shuffle": "random",
    "shuffle": "random",
    # by the client's address: nginx, HAProxy, Caddy
    "ip-hash": "source-hash",
    "client-ip-hash": "source-hash",
    "sourceip": "source-hash",
    "source-ip": "source-hash",
    "source": "source-hash",
    # by something else: nginx, HAProxy, Envoy, Caddy
    "hash": "consistent-hash",
    "ketama": "consistent-hash",
    "ring": "consistent-hash",
    "ring-hash": "consistent-hash",
    "ringhash": "consistent-hash",
    "consistent": "consistent-hash",
    "uri": "consistent-hash",
    "url-hash": "consistent-hash",
    "uri-hash": "consistent-hash",
    "url-param": "consistent-hash",
    "hdr": "consistent-hash",
    "header": "consistent-hash",
    "hrw": "rendezvous",
    # the first that has room: HAProxy, Caddy
    "first": "first-available",
    "failover": "first-available",
    "priority": "first-available",
    # by latency: nginx, Traefik, LiteLLM
    "ewma": "peak-ewma",
    "least-time": "least-response-time",
    "leasttime": "least-response-time",
    "latency": "least-response-time",
    "fastest": "least-response-time",
    "latency-based-routing": "least-response-time",
    # by sessions: vLLM, Caddy
    "cookie": "session",
    "sticky": "session",
    "sticky-session": "session",
    # by prefixes and tokens: vLLM, SGLang, llm-d, Dynamo, LiteLLM
    "kv": "marginal-cost",
    "kv-aware": "marginal-cost",
    "kvaware": "marginal-cost",
    "kv-cache-aware": "marginal-cost",
    "prefix": "marginal-cost",
    "prefix-aware": "marginal-cost",
    "prefix-cache": "marginal-cost",
    "prefixaware": "marginal-cost",
    "precise-prefix-cache": "marginal-cost",
    "prefix-cache-scorer": "marginal-cost",
    "usage-based-routing": "token-load",
    "least-tokens": "token-load",
}
_BY_KEY: Final = frozenset(("uri", "url-hash", "uri-hash", "url-param", "hdr", "header", "hash"))


def meant_by(name: str) -> str:
    """A hint at the policy that another product calls so; "" when none does."""
    spelled = "-".join(name.lower().replace("_", " ").replace("-", " ").split())
    ours = _OURS.get(spelled, "")
    if not ours:
        return ""
    beside = ""
    if spelled in _BY_KEY:
        beside = ", with `hash_key: path`, or `{header: NAME}`, to say by what"
    elif ours == "session":
        beside = ", or the key `sticky` for a cookie of Penstock's"
    elif ours == "marginal-cost":
        beside = ", the default of pools of `kind: llm`"
    return f"here it is called {ours!r}{beside}"
