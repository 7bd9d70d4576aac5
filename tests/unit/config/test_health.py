"""Health checks that tell little of health are told of."""

from pathlib import Path

import pytest

from tests.unit.config.documents import load


@pytest.mark.parametrize(
    ("expected", "backup", "told"),
    [
        ("2xx", "true", []),
        ("[2xx, 404]", "false", ["404 counts as healthy"]),
        ("200-499", "true", ["404 counts as healthy", "A backup of 404 pages would take over"]),
    ],
)
def test_a_pool_of_404_pages_is_no_backup(
    tmp_path: Path, expected: str, backup: str, told: list[str]
) -> None:
    text = f"""\
pools:
  web:
    endpoints: ["http://10.0.0.1:80", {{url: "http://10.0.0.2:80", backup: {backup}}}]
    health_check: {{path: /, expect_statuses: {expected}}}
"""
    warnings = load(text, tmp_path).warnings
    assert len(warnings) == (1 if told else 0)
    assert all(each in warnings[0] for each in told)
    assert not told or ":4:" in warnings[0] or warnings[0].startswith("4:")
