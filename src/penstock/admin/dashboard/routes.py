"""The page's files, and the stream behind it.

The files hold no data and are shown to anybody who reaches the address; what they show is asked
for with the token in a header, so that it stands in no URL, log or history.
"""

from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Final

from aiohttp import hdrs, web

from penstock.admin.command import PREFIX
from penstock.admin.dashboard.feed import MOST_PAGES, Feed
from penstock.admin.guard import refused, shows_token
from penstock.uplot import LICENSE, SCRIPT, STYLE, uplot_file

STREAM: Final = f"{PREFIX}stream"
_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
# Nothing but what comes from this address is loaded, no script or style stands in the page, and
# nobody may frame it (clicks on "Drain" are its own).
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class _File:
    content: bytes
    kind: str
    tag: str


def page_files() -> dict[str, _File]:
    """By path; small enough to be held."""
    contents = {name: uplot_file(name) for name in (SCRIPT, STYLE, LICENSE)}
    for file in files(__package__).joinpath("static").iterdir():
        contents[file.name] = file.read_bytes()
    found: dict[str, _File] = {}
    for name, content in contents.items():
        kind = _TYPES.get(name.rpartition(".")[2])
        if kind is not None:
            path = "/" if name == "index.html" else f"/dashboard/{name}"
            if path.endswith((".js", ".css")):
                content = trimmed(content)
            found[path] = _File(content, kind, f'"{sha256(content).hexdigest()[:16]}"')
    return found


def trimmed(source: bytes) -> bytes:
    """Without indentation, empty lines and lines of comment, which are for those who change it.

    No text of ours goes over several lines, so none of them is part of one.
    """
    lines = (line.strip() for line in source.splitlines())
    return b"\n".join(line for line in lines if line and not line.startswith(b"//"))


def dashboard_routes(feed: Feed, shown: dict[str, _File], token: str | None) -> list[web.RouteDef]:
    """Routes of the page's files and of its stream. Who shows the token may change something."""

    async def file(request: web.Request) -> web.Response:
        found = shown[request.path]
        headers = {**_HEADERS, hdrs.ETAG: found.tag}
        if request.headers.get(hdrs.IF_NONE_MATCH) == found.tag:
            return web.Response(status=304, headers=headers)
        headers[hdrs.CONTENT_TYPE] = found.kind
        return web.Response(body=found.content, headers=headers)

    async def stream(request: web.Request) -> web.StreamResponse:
        if feed.pages >= MOST_PAGES:
            return refused(503, f"{MOST_PAGES} pages are open already: close one")
        answer = web.StreamResponse(
            headers={
                hdrs.CONTENT_TYPE: "text/event-stream",
                hdrs.CACHE_CONTROL: "no-store",
                "X-Content-Type-Options": "nosniff",
                "X-Accel-Buffering": "no",  # nginx would hold it back
            }
        )
        await answer.prepare(request)
        with feed.page():
            try:
                may = b"change" if token is None or shows_token(request, token) else b"look"
                await answer.write(b'event: hello\ndata: {"may":"%b"}\n\n' % may)
                seen = 0
                while (message := await feed.next(seen)) is not None:
                    seen = feed.number
                    await answer.write(message)
            except ConnectionResetError:
                pass  # the page was closed
        return answer

    return [*(web.get(path, file) for path in shown), web.get(STREAM, stream)]
