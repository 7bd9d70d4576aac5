"""Kubeconfig files: where a Kubernetes API server is, and who asks it.

Source: Kubernetes, "Organizing Cluster Access Using kubeconfig Files" (v1 Config). What would run a
command, or leave the server unverified, is refused.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from penstock.config.load.errors import did_you_mean
from penstock.config.load.yaml_tree import read_tree

_MOST_BYTES: Final = 1024 * 1024
# Keys of a user that are not followed, and what to do instead.
_REFUSED: Final = {
    "exec": (
        "gets its credentials from a command (`exec`), and Penstock runs none: make a service "
        "account's token with `kubectl create token`, and give it as `token` or `tokenFile`"
    ),
    "auth-provider": (
        "has an `auth-provider`, which Kubernetes itself has dropped: give a `token` or `tokenFile`"
    ),
    "username": "has a password, which API servers take no more: give a `token` or `tokenFile`",
    "as": "asks in another's name (`as`), which is not done: make a context without",
}


@dataclass(frozen=True)
class Kubeconfig:
    """One context of such a file. Of what is in it as data or as a file, one is given."""

    server: str
    namespace: str = ""
    server_name: str = ""  # that its certificate is verified for; empty: its host
    ca_file: str = ""
    ca_data: str = ""  # PEM
    token: str = ""
    token_file: str = ""
    certificate_file: str = ""
    certificate_data: bytes = b""  # PEM
    key_file: str = ""
    key_data: bytes = b""


def read_kubeconfig(path: Path, context: str) -> Kubeconfig:
    """The context of that name; empty: the current one. Raises ValueError, which names the file."""
    document = _read(path)
    name = context or document.get("current-context")
    if not isinstance(name, str) or not name:
        raise ValueError(f"{path}: it has no `current-context`: name one with `context`")
    try:
        chosen = _named(document, "contexts", name, "context")
        cluster = _named(document, "clusters", _text(chosen, "cluster"), "cluster")
        user_name = _text(chosen, "user")
        user = _named(document, "users", user_name, "user") if user_name else {}
        return _joined(path.absolute().parent, chosen, cluster, user, user_name)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read(path: Path) -> Mapping[str, Any]:
    try:
        data = path.read_bytes()
        if len(data) > _MOST_BYTES:
            raise ValueError(f"{path}: is over {_MOST_BYTES >> 20} MiB")
        tree = read_tree(data.decode(), None)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text") from error
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ValueError(f"{path}{line}: not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML") from error
    if not isinstance(tree.value, dict):
        raise ValueError(f"{path} is no kubeconfig: a mapping with `clusters` is needed")
    return tree.value


def _named(document: Mapping[str, Any], key: str, name: str, inner: str) -> Mapping[str, Any]:
    """Of a list of names with what they stand for."""
    listed = document.get(key) or []
    if not isinstance(listed, list):
        raise ValueError(f"`{key}` is no list")
    known = {
        str(each["name"]): each.get(inner) or {}
        for each in listed
        if isinstance(each, dict) and "name" in each
    }
    if name not in known:
        hint = did_you_mean(name, known) or f"; there are: {', '.join(known) or 'none'}"
        raise ValueError(f"no {inner} is called {name!r}{hint}")
    found = known[name]
    if not isinstance(found, dict):
        raise ValueError(f"the {inner} {name!r} is no mapping")
    return found


def _joined(
    directory: Path,
    context: Mapping[str, Any],
    cluster: Mapping[str, Any],
    user: Mapping[str, Any],
    user_name: str,
) -> Kubeconfig:
    server = _text(cluster, "server")
    if not server.startswith(("https://", "http://")):
        raise ValueError("the cluster has no `server` that is an http:// or https:// URL")
    if cluster.get("insecure-skip-tls-verify") is True:
        raise ValueError(
            "`insecure-skip-tls-verify` is set: whoever answers would get the token. Give "
            "`certificate-authority` instead"
        )
    if cluster.get("proxy-url"):
        raise ValueError("the cluster has a `proxy-url`, and no proxies are gone through")
    for key, why in _REFUSED.items():
        if user.get(key):
            raise ValueError(f"the user {user_name!r} {why}")
    certificate = _file(directory, user, "client-certificate")
    certificate_data = _data(user, "client-certificate-data")
    key_file = _file(directory, user, "client-key")
    key_data = _data(user, "client-key-data")
    if bool(certificate or certificate_data) != bool(key_file or key_data):
        raise ValueError(f"the user {user_name!r} has a certificate or a key, and not both")
    return Kubeconfig(
        server=server.rstrip("/"),
        namespace=_text(context, "namespace"),
        server_name=_text(cluster, "tls-server-name"),
        ca_file=_file(directory, cluster, "certificate-authority"),
        ca_data=_data(cluster, "certificate-authority-data").decode("ascii", "replace"),
        token=_text(user, "token"),
        token_file=_file(directory, user, "tokenFile"),
        certificate_file=certificate,
        certificate_data=certificate_data,
        key_file=key_file,
        key_data=key_data,
    )


def _text(mapping: Mapping[str, Any], key: str) -> str:
    value = mapping.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"`{key}` is no text")
    return value


def _file(directory: Path, mapping: Mapping[str, Any], key: str) -> str:
    """Relative to the kubeconfig's own directory. What is there as data goes before it."""
    name = _text(mapping, key)
    return str(directory / name) if name and not mapping.get(f"{key}-data") else ""


def _data(mapping: Mapping[str, Any], key: str) -> bytes:
    try:
        return base64.b64decode(_text(mapping, key), validate=True)
    except binascii.Error as error:
        raise ValueError(f"`{key}` is not base64") from error
