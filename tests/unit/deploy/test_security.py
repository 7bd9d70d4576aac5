"""SECURITY.md names limits that exist, at the defaults that they have."""

import re
from pathlib import Path

from penstock.config.describe.schema import schema_text

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "SECURITY.md").read_text()
REFERENCE = (ROOT / "docs/configuration.md").read_text()
LIMITS = TEXT.partition("## What each limit defends")[2].partition("\n## ")[0]


def test_every_key_is_one_of_the_configuration() -> None:
    schema = schema_text()
    keys = {part for name in re.findall(r"`([a-z_0-9.]+)`", LIMITS) for part in name.split(".")}
    assert len(keys) > 20
    assert [key for key in sorted(keys) if f'"{key}"' not in schema] == []


def test_the_defaults_are_those_of_the_reference() -> None:
    for name, default in (
        ("header_bytes", "32KiB"),
        ("header_count", "100"),
        ("target_bytes", "8KiB"),
        ("body_bytes", "256MiB"),
        ("body_rate", "500"),
        ("client_headers", "10s"),
        ("keep_alive_idle", "75s"),
        ("client_write_idle", "1m"),
        ("connection_bytes", "256KiB"),
        ("sessions", "65536"),
        ("budget_share", "0.2"),
        ("max_ejected_share", "0.1"),
        ("prompt_bytes", "16MiB"),
        ("prompt_memory", "256MiB"),
        ("response_header_bytes", "64KiB"),
        ("max_endpoints", "1000"),
    ):
        row = next(line for line in REFERENCE.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"| `{default}` |" in row, row
        assert default in LIMITS


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)", TEXT):
        assert (ROOT / target).exists(), target
