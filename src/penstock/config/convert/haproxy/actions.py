"""What lines of HAProxy do with a request, as a route has it."""

import re
from typing import Any

from penstock.config.convert.conditions import Action, Alternative, InexpressibleError, Rules


def redirect(words: tuple[str, ...]) -> Action:
    """Of `redirect`. Raises InexpressibleError, as all of these."""
    after = {words[i]: words[i + 1] for i in range(len(words) - 1)}
    status = int(after.get("code", 302))
    if "scheme" in after:
        return {"redirect": {"status": status, "scheme": after["scheme"]}}
    kind = "location" if "location" in after else "prefix"
    url = after.get(kind, "")
    if "%" in url or not url:
        raise InexpressibleError("where it leads is computed")
    found = re.fullmatch(r"(?:(https?)://([^/:]+)(?::(\d+))?)?(/.*)?", url)
    if found is None:
        raise InexpressibleError(f"{url} is no path or URL")
    made: dict[str, Any] = {"status": status}
    if found[1]:
        made.update({"scheme": found[1], "host": found[2]})
    if found[3]:
        made["port"] = int(found[3])
    if kind == "location":
        made["path"] = found[4] or "/"
    elif found[4] and found[4] != "/":
        raise InexpressibleError("a prefix before the path: write `rewrite` beside `redirect`")
    return {"redirect": made}


def returned(words: tuple[str, ...]) -> Action:
    """Of `http-request return`."""
    after = {words[i]: words[i + 1] for i in range(len(words) - 1)}
    made: dict[str, Any] = {"status": int(after.get("status", 200))}
    body = after.get("string", after.get("lf-string", ""))
    if "file" in after or "lf-file" in after or "%[" in body:
        raise InexpressibleError("its body is a file or computed")
    if body:
        made["body"] = body
    if "content-type" in after:
        made["content_type"] = after["content-type"]
    return {"respond": made}


def change(words: tuple[str, ...], condition: tuple[str, ...], changes: dict[str, Any]) -> None:
    """Note in ``changes`` what `set-header`, `add-header` or `del-header` says."""
    name = words[2]
    value = words[3] if len(words) > 3 else ""
    if name.lower() in (
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-port",
        "x-forwarded-host",
    ):
        return  # written by Penstock
    if condition:
        raise InexpressibleError("headers are changed for all requests of a route")
    if "%" in value:
        raise InexpressibleError("its value is computed")
    if words[1] == "del-header":
        changes.setdefault("remove", []).append(name)
    else:
        changes.setdefault("set" if words[1] == "set-header" else "add", {})[name] = value


def rewritten(words: tuple[str, ...], alternatives: list[Alternative], rules: Rules) -> Rules:
    """`replace-path REGEX NEW` of everything."""
    if words[1] != "replace-path" or any(each.match or each.without for each in alternatives):
        raise InexpressibleError("a path is changed for all requests of a route, by an expression")
    changed = {"regex": f"^{words[2].removeprefix('^')}" if words[2].startswith("^") else words[2]}
    changed["replacement"] = words[3]
    return [
        (
            match,
            {**action, "rewrite": changed}
            if "pool" in action and "rewrite" not in action
            else action,
        )
        for match, action in rules
    ]
