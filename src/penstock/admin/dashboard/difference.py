"""What became of a document: fields that changed, and who is gone."""

from typing import Any

from penstock.admin.dashboard.document import Section


def difference(before: dict[str, Section], now: dict[str, Section]) -> dict[str, Any]:
    """By section and key the fields that changed, whole for who is new; ``gone``: keys by section.

    What did not change is left out.
    """
    found: dict[str, Any] = {}
    gone: dict[str, list[str]] = {}
    for name, section in now.items():
        old = before.get(name, {})
        changed = {}
        for key, fields in section.items():
            known = old.get(key)
            if known is None:
                changed[key] = fields
            elif known is not fields and known != fields:
                changed[key] = {
                    field: value
                    for field, value in fields.items()
                    if field not in known or known[field] != value
                }
        if changed:
            found[name] = changed
        if missing := [key for key in old if key not in section]:
            gone[name] = missing
    if gone:
        found["gone"] = gone
    return found
