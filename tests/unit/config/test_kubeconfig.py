"""Kubeconfig files: what of them is followed, and what is refused with a way out."""

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.config.load.kubeconfig import Kubeconfig, read_kubeconfig


def config(**user: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [
            {"name": "lab", "cluster": {"server": "https://lab:6443/"}},
            {"name": "ai", "cluster": {"server": "https://ai:6443", "tls-server-name": "k8s"}},
        ],
        "users": [{"name": "me", "user": user or {"token": "t0"}}],
        "contexts": [
            {"name": "lab", "context": {"cluster": "lab", "user": "me"}},
            {"name": "ai", "context": {"cluster": "ai", "user": "me", "namespace": "llm"}},
        ],
    }


def read(directory: Path, document: object, context: str = "") -> Kubeconfig:
    path = directory / "config"
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return read_kubeconfig(path, context)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_the_current_context_or_the_one_that_is_named(tmp_path: Path) -> None:
    assert read(tmp_path, config()) == Kubeconfig("https://lab:6443", token="t0")
    named = read(tmp_path, config(), "ai")
    assert (named.server, named.namespace, named.server_name) == ("https://ai:6443", "llm", "k8s")


def test_data_goes_before_files_and_files_are_beside_the_kubeconfig(tmp_path: Path) -> None:
    document = config(
        **{
            "client-certificate": "me.crt",
            "client-key": "/elsewhere/me.key",
            "client-key-data": encoded("KEY"),
            "tokenFile": "token",
        }
    )
    document["clusters"][0]["cluster"]["certificate-authority-data"] = encoded("AUTHORITY")
    found = read(tmp_path, document)
    assert found.certificate_file == str(tmp_path / "me.crt")
    assert (found.key_file, found.key_data) == ("", b"KEY")
    assert found.ca_data == "AUTHORITY"
    assert found.token_file == str(tmp_path / "token")


@pytest.mark.parametrize(
    ("user", "told"),
    [
        ({"exec": {"command": "aws"}}, "user 'me' gets its credentials from a command (`exec`)"),
        ({"auth-provider": {"name": "gcp"}}, "has an `auth-provider`"),
        ({"username": "me", "password": "pw"}, "has a password"),
        ({"token": "t", "as": "root"}, "asks in another's name"),
        ({"client-certificate": "c"}, "has a certificate or a key, and not both"),
        ({"token": ["t"]}, "`token` is no text"),
        ({"client-key-data": "?", "client-certificate": "c"}, "`client-key-data` is not base64"),
    ],
)
def test_what_of_a_user_is_refused(tmp_path: Path, user: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=r"config: ") as caught:
        read(tmp_path, config(**user))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("document", "context", "told"),
    [
        (config(), "la", "no context is called 'la'; did you mean 'lab'"),
        (config() | {"clusters": []}, "", "no cluster is called 'lab'; there are: none"),
        (config() | {"users": [{"name": "you"}]}, "", "no user is called 'me'"),
        (config() | {"current-context": None}, "", "it has no `current-context`"),
        ("a: [", "", "not YAML"),
        ("[]", "", "is no kubeconfig"),
        (config() | {"contexts": {}}, "", "no context is called 'lab'"),
    ],
)
def test_what_is_not_there_is_told(
    tmp_path: Path, document: object, context: str, told: str
) -> None:
    with pytest.raises(ValueError, match="config") as caught:
        read(tmp_path, document, context)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("cluster", "told"),
    [
        ({"server": "lab"}, "has no `server`"),
        ({"insecure-skip-tls-verify": True}, "whoever answers would get the token"),
        ({"proxy-url": "http://p"}, "no proxies are gone through"),
    ],
)
def test_what_of_a_cluster_is_refused(tmp_path: Path, cluster: dict[str, Any], told: str) -> None:
    document = config()
    document["clusters"][0]["cluster"] |= cluster
    with pytest.raises(ValueError, match="config: ") as caught:
        read(tmp_path, document)
    assert told in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        read_kubeconfig(tmp_path / "none", "")
