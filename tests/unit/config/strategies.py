"""Random documents: every one of them right."""

from typing import Any

from hypothesis import strategies as st

_NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,11}", fullmatch=True)
_HOSTS = st.from_regex(r"[a-z][a-z0-9]{0,7}(\.[a-z]{1,3})?", fullmatch=True)
_ADDRESSES = st.builds("{}:{}".format, _HOSTS, st.integers(0, 65535))
_DURATIONS = st.builds("{}{}".format, st.integers(1, 9999), st.sampled_from(["us", "ms", "s", "m"]))
_SIZES = st.integers(1, 2**40) | st.builds("{}KiB".format, st.integers(1, 9999))
_SHARES = st.floats(0, 1)
_COUNTS = st.integers(1, 2**31 - 1)
_TOKENS = st.from_regex(r"X-[A-Za-z0-9!#_~]{1,8}", fullmatch=True)
_FIELD_VALUES = st.text(
    st.characters(codec="utf-8", min_codepoint=0x20, exclude_categories=["C", "Z"]), max_size=12
).filter(lambda text: "${" not in text)
_PATHS = st.from_regex(r"/[a-z0-9%._~-]{0,12}", fullmatch=True)


def _section(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A mapping with any of the keys."""
    return st.fixed_dictionaries({}, optional=keys)


def _one_or_many(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return items | st.lists(items, max_size=3)


_EDITS = _section(
    remove=_one_or_many(_TOKENS),
    set=st.dictionaries(_TOKENS, _FIELD_VALUES, max_size=2),
    add=st.dictionaries(_TOKENS, _one_or_many(_FIELD_VALUES), max_size=2),
)
_HEALTH_CHECKS = st.sampled_from(["off", "tcp", "http", "/health?x=1"]) | _section(
    kind=st.just("http"),
    path=_PATHS,
    interval=_DURATIONS,
    timeout=_DURATIONS,
    rise=_COUNTS,
    fall=_COUNTS,
    jitter=_SHARES,
    expect_statuses=st.sampled_from([200, "2xx", [200, "300-399"]]),
    initial=st.sampled_from(["up", "down"]),
).filter(lambda check: check.keys() <= {"interval", "timeout"} or "kind" in check)
_POLICIES = st.sampled_from(
    ["round-robin", {"name": "tests.unit.config.policy:Keyed", "depth": 2, "share": 0.25}]
)


@st.composite
def _pools(draw: st.DrawFn) -> dict[str, Any]:
    urls = draw(
        st.lists(
            st.builds("{}://{}:{}".format, st.just("https"), _HOSTS, st.integers(1, 65535)),
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    endpoints: list[Any] = [
        {"url": url, "weight": draw(st.floats(0.001, 1000)), "backup": draw(st.booleans())}
        if draw(st.booleans())
        else url
        for url in urls
    ]
    options = _section(
        policy=_POLICIES,
        sticky=_section(ttl=_DURATIONS, secure=st.booleans()).map(
            lambda sticky: {"keys": "0123456789abcdef", **sticky}
        ),
        host_header=st.sampled_from(
            ["auto", "pass", "endpoint", "a.example", "a.example:8000", "[::1]"]
        ),
        request_headers=_one_or_many(_EDITS),
        response_headers=_one_or_many(_EDITS),
        timeouts=_section(connect=_DURATIONS, first_byte=_DURATIONS, request=st.just("off")),
        retry=st.just("off") | _section(attempts=_COUNTS, on_reset=st.booleans()),
        health_check=_HEALTH_CHECKS,
        outlier=st.just("off") | _section(failure_share=_SHARES, interval=_DURATIONS),
        slow_start=_DURATIONS | _section(window=_DURATIONS, min_share=_SHARES),
        panic_threshold=_SHARES,
        connections=_section(max_idle=_COUNTS, idle_timeout=_DURATIONS),
        tls=_section(verify=st.booleans(), server_name=_HOSTS),
    )
    return {"endpoints": endpoints, **draw(options)}


@st.composite
def _routes(draw: st.DrawFn, pools: list[str], listeners: list[str]) -> dict[str, Any]:
    ends: list[st.SearchStrategy[dict[str, Any]]] = [
        st.fixed_dictionaries({"pool": st.sampled_from(pools)}),
        st.fixed_dictionaries(
            {"pools": st.dictionaries(st.sampled_from(pools), st.floats(0.01, 100), min_size=1)}
        ),
        st.just({"redirect": {"scheme": "https"}}),
        st.just({"respond": 404}),
    ]
    match = _section(
        listeners=_one_or_many(st.sampled_from(listeners)),
        hosts=_one_or_many(_HOSTS | _HOSTS.map("*.{}".format)),
        headers=st.dictionaries(_TOKENS, _FIELD_VALUES, max_size=2),
    )
    return {
        "match": {"methods": "GET", **draw(match)},
        "request_headers": draw(_EDITS),
        **draw(st.one_of(ends)),
    }


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A document whose every part is right and fits the others."""
    pools = draw(st.dictionaries(_NAMES, _pools(), min_size=1, max_size=3))
    listeners = draw(
        st.dictionaries(
            _NAMES,
            st.fixed_dictionaries(
                {"address": _HOSTS.map("{}:0".format)},
                optional={
                    "limits": _section(header_bytes=_SIZES, connections=_COUNTS),
                    "timeouts": _section(client_headers=_DURATIONS, keep_alive_idle=_DURATIONS),
                },
            ),
            min_size=1,
            max_size=3,
        )
    )
    routes = draw(st.lists(_routes(list(pools), list(listeners)), min_size=1, max_size=4))
    more = _section(
        workers=st.integers(1, 64) | st.just("auto"),
        admin=st.just("off") | st.builds("127.0.0.1:{}".format, st.integers(0, 65535)),
        shutdown_deadline=_DURATIONS,
        prompt_memory=_SIZES,
        request_log=st.sampled_from(["off", "stdout", "./log"]),
        state=st.just("./state"),
    )
    return {"pools": pools, "listeners": listeners, "routes": routes, **draw(more)}
