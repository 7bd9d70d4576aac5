"""A page that needs nothing else: its style, uPlot and its data stand in it."""

from base64 import b64encode
from hashlib import sha256
from html import escape
from importlib.resources import files

from penstock.uplot import LICENSE, SCRIPT, STYLE, uplot_file


def whole_page(title: str, body: str) -> str:
    """An HTML page of ``body``, whose charts (`chart`) are drawn when it is opened.

    Its policy lets nothing be loaded, and runs and applies only what stands in it now, by hash: a
    name that came to be markup could do nothing.
    """
    style = uplot_file(STYLE).decode() + _own("report.css")
    # Its license asks that the notice stays with every copy.
    license_notice = "/*\n" + uplot_file(LICENSE).decode().strip() + "\n*/\n"
    script = license_notice + uplot_file(SCRIPT).decode() + _own("report.js")
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style></head>\n<body>{body}"
        "<noscript><p>The curves are drawn by JavaScript; all else is here without.</p></noscript>"
        f"\n<script>{script}</script></body></html>\n"
    )


def _own(name: str) -> str:
    return files(__package__).joinpath("static", name).read_text("utf-8")


def _hash(text: str) -> str:
    """As a policy names a script or style that stands in the page."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
