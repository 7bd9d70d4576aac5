"""Lists of endpoints outside the configuration, in files and from HTTP servers: our own form, and
Prometheus's (`file_sd`, `http_sd`)."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from penstock.config.document.endpoint_url import EndpointUrl, parse_endpoint_url
from penstock.config.document.show import show
from penstock.config.load.errors import Location, did_you_mean, spell
from penstock.config.load.labels import KEYS, described, labelled
from penstock.config.load.yaml_tree import read_tree
from penstock.core.snapshot.discovery import Found

MAX_BYTES: Final = 8 * 1024 * 1024
LABEL_PREFIX: Final = "penstock_"  # as labels of Prometheus can be called
_OWN_KEYS: Final = ("url", *(key for key in KEYS if key != "port"))


class TargetsError(ValueError):
    """A list that cannot be used. The text is for people, with the place."""


class _WrongError(Exception):
    def __init__(self, at: Location, text: str) -> None:
        super().__init__(text)
        self.at = at


def read_targets(data: bytes, name: str) -> tuple[Found, ...]:
    """The endpoints that a list names; ``name`` is what it is called in errors.

    Raises TargetsError.
    """
    if len(data) > MAX_BYTES:
        raise TargetsError(f"{name}: is over {MAX_BYTES >> 20} MiB")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise TargetsError(f"{name}: is not text in UTF-8") from error
    try:
        value = _parsed(text, name)
        return tuple(_all_of(value))
    except _WrongError as error:
        place = _place(text, error.at)
        spelled = f" {spell(error.at)}:" if error.at else ""
        raise TargetsError(f"{name}{place}:{spelled} {error}") from error


def _parsed(text: str, name: str) -> Any:
    """JSON is tried first, as it is read a hundred times as fast."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise TargetsError(f"{name}: is nested too deeply") from error
    except ValueError as error:
        begins = text.lstrip()[:1]
        if begins in ("{", "[") and isinstance(error, json.JSONDecodeError):
            wrong: Exception = error
        else:
            wrong = ValueError()
    try:
        tree = read_tree(text, None)
    except yaml.MarkedYAMLError as error:
        if isinstance(wrong, json.JSONDecodeError):
            raise TargetsError(f"{name}:{wrong.lineno}: not JSON: {wrong.msg}") from error
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise TargetsError(f"{name}{line}: not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise TargetsError(f"{name}: not YAML: {error}") from error
    if tree.problems:
        raise _WrongError(tree.problems[0].location, tree.problems[0].text)
    return tree.value


def _place(text: str, at: Location) -> str:
    try:
        positions = read_tree(text.replace("\t", " "), None).positions
    except yaml.YAMLError:
        return ""
    for length in range(len(at), -1, -1):
        found = positions.get(at[:length])
        if found is not None:
            return f":{found.line}"
    return ""


def _all_of(value: Any) -> Iterator[Found]:
    if isinstance(value, Mapping):
        unknown = [key for key in value if key != "endpoints"]
        if unknown or "endpoints" not in value:
            raise _WrongError(
                (unknown[0],) if unknown else (),
                "a mapping with the key `endpoints` is needed, or a list as in Prometheus's "
                "file_sd",
            )
        listed = value["endpoints"]
        if not isinstance(listed, list):
            raise _WrongError(("endpoints",), f"a list is needed, not {show(listed)}")
        for index, each in enumerate(listed):
            yield _own(each, ("endpoints", index))
    elif isinstance(value, list):
        for index, group in enumerate(value):
            yield from _group(group, (index,))
    else:
        raise _WrongError((), f"`endpoints:` and a list is needed, not {show(value)}")


def _own(value: Any, at: Location) -> Found:
    said = {"url": value} if isinstance(value, str) else value
    if not isinstance(said, Mapping) or "url" not in said:
        raise _WrongError(at, f"a URL is needed, or a mapping with a `url`, not {show(value)}")
    for key in said:
        if key not in _OWN_KEYS:
            known = did_you_mean(str(key), _OWN_KEYS) or f"; known here: {', '.join(_OWN_KEYS)}"
            raise _WrongError((*at, key), f"unknown key{known}")
    try:
        url = parse_endpoint_url(said["url"])
    except ValueError as error:
        raise _WrongError((*at, "url") if said is value else at, str(error)) from error
    found = Found(
        url.host,
        url.port,
        scheme=_scheme(url) if "://" in said["url"] else "",
        base_path=url.base_path,
    )
    try:
        return described(found, {key: said[key] for key in said if key != "url"})
    except ValueError as error:
        key, _, text = str(error).partition(": ")
        raise _WrongError((*at, key), text) from error


def _scheme(url: EndpointUrl) -> str:
    if url.protocol != "http":
        return url.protocol
    return "https" if url.tls else "h2c" if url.http2 else "http"


def _group(value: Any, at: Location) -> Iterator[Found]:
    """Of Prometheus: targets that have their labels in common."""
    if not isinstance(value, Mapping) or not isinstance(value.get("targets"), list):
        raise _WrongError(at, "a mapping with a list of `targets` is needed")
    labels = value.get("labels") or {}
    if not isinstance(labels, Mapping):
        raise _WrongError((*at, "labels"), f"a mapping is needed, not {show(labels)}")
    try:
        common = labelled(Found(""), {str(key): labels[key] for key in labels}, LABEL_PREFIX)
    except ValueError as error:
        raise _WrongError((*at, "labels"), str(error)) from error
    for index, target in enumerate(value["targets"]):
        if not isinstance(target, str) or "/" in target:
            raise _WrongError((*at, "targets", index), f"host:port is needed, not {show(target)}")
        try:
            url = parse_endpoint_url(target if ":" in target else f"{target}:{common.port}")
        except ValueError as error:
            raise _WrongError((*at, "targets", index), str(error)) from error
        yield Found(
            url.host,
            common.port or url.port,
            weight=common.weight,
            zone=common.zone,
            name=common.name if len(value["targets"]) == 1 else "",
            models=common.models,
        )
