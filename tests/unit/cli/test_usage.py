"""``penstock usage``: sums of what was counted, for people and for programs."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from penstock.cli import usage as verb
from penstock.cli.usage import usage


def row(day: str, tenant: str, model: str, requests: int) -> dict[str, Any]:
    counts = {"prompt_tokens": 10 * requests, "cached_tokens": 0, "output_tokens": requests}
    return {
        "day": day,
        "tenant": tenant,
        "key": "ci",
        "model": model,
        "requests": requests,
        **counts,
        "cost": 0.5 * requests,
    }


ROWS = [
    row("2026-11-30", "acme", "big", 3),
    row("2026-11-29", "acme", "big", 2),
    row("2026-11-30", "zoo", "small", 1),
]


class Told:
    def __init__(self, url: str, token: str | None) -> None: ...

    def give(self, command: object, values: dict[str, object]) -> dict[str, Any]:
        return {"rows": ROWS}


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "Admin", Told)


def test_rows_are_summed_by_what_is_told_apart() -> None:
    printed = CliRunner().invoke(usage, ["--by", "tenant", "--format", "json"])
    told = json.loads(printed.output)
    assert [(each["tenant"], each["requests"], each["cost"]) for each in told] == [
        ("acme", 5, 2.5),
        ("zoo", 1, 0.5),
    ]


def test_the_table_and_csv_have_all_columns() -> None:
    lines = CliRunner().invoke(usage, ["--format", "csv"]).output.splitlines()
    assert lines[0] == (
        "day,tenant,key,model,requests,prompt_tokens,cached_tokens,output_tokens,cost"
    )
    assert lines[1] == "2026-11-29,acme,ci,big,2,20,0,2,1.0"
    assert "TENANT" in CliRunner().invoke(usage, []).output
