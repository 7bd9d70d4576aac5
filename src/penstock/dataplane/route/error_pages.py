"""Pages in place of errors: which one a client gets."""

from typing import Final

from penstock.core import snapshot
from penstock.wire.negotiation import best_type

_HTML: Final = ("text/html", "text/html; charset=utf-8")
_JSON: Final = ("application/json", "application/json")
_TEXT: Final = ("text/plain", "text/plain; charset=utf-8")


class Page:
    """One form of a page."""

    def __init__(self, content_type: str, body: bytes) -> None:
        self.content_type: str = content_type
        self.body: bytes = body


class _Forms:
    """All forms of a page: those that a client without preferences gets first stand first."""

    def __init__(self, spec: snapshot.ErrorPage) -> None:
        self.media_types: list[bytes] = []
        self.pages: list[Page] = []
        for kind, content in ((_TEXT, spec.text), (_JSON, spec.json), (_HTML, spec.html)):
            if content:
                media_type, content_type = kind
                self.media_types.append(media_type.encode())
                self.pages.append(Page(content_type, content.encode()))


class ErrorPages:
    """Those of one route on its way to one pool, or of what has no route."""

    def __init__(self, layers: list[tuple[snapshot.ErrorPage, ...]]) -> None:
        """Of each status the first page counts, in the first layer that has one."""
        self._forms: dict[int, _Forms] = {}
        self.replaced: set[int] = set()  # statuses of endpoints' answers
        for layer in layers:
            for spec in layer:
                forms = _Forms(spec)
                for status in spec.statuses:
                    if status not in self._forms:
                        self._forms[status] = forms
                        if spec.replaces_endpoints:
                            self.replaced.add(status)

    def page(self, status: int, accept: bytes) -> Page | None:
        """The page for an error, in the form that the client likes best; None: none that it takes.

        ``accept`` is the value of its Accept field, b"" without one.
        """
        forms = self._forms.get(status)
        if forms is None:
            return None
        chosen = best_type(accept, forms.media_types)
        return forms.pages[chosen] if chosen >= 0 else None


def error_pages(*layers: tuple[snapshot.ErrorPage, ...]) -> ErrorPages | None:
    """The pages of these layers, the nearest first; None without any."""
    given = [layer for layer in layers if layer]
    return ErrorPages(given) if given else None


def _escaped(text: str) -> str:
    """As ``html.escape``, whose module brings all names of characters with it."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace('"', "&quot;").replace("'", "&#x27;")


def text_pages(status: int, text: str) -> ErrorPages:
    """A page that says that text, also as HTML."""
    shown = f"<!doctype html>\n<meta charset=utf-8>\n<title>{status}</title>\n<p>{_escaped(text)}\n"
    return ErrorPages([(snapshot.ErrorPage((status,), html=shown, text=text + "\n"),)])
