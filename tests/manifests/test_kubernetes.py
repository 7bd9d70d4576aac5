"""Manifests and the chart by Kubernetes' own schemas and Helm's own code: `make test-manifests`.

No cluster runs here: that they are accepted is shown, that pods start is not.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.config.compile.snapshot import compile_document
from penstock.config.load.document import load_text

helm = pytest.importorskip("helm_python")
kubernetes_validate = pytest.importorskip("kubernetes_validate")

DEPLOY = Path(__file__).parents[2] / "deploy"
CHART = DEPLOY / "helm" / "penstock"
VERSIONS = ("1.25", "1.37")
MANIFESTS = DEPLOY / "kubernetes" / "penstock.yaml"
# No part of Kubernetes: the Prometheus operator's.
FOREIGN = ("ServiceMonitor",)


CONFIGURATION = {
    "listen": "0.0.0.0:8080",
    "pools": {"chat": {"kind": "llm", "discover": [{"kubernetes": "engines", "port": 8000}]}},
}


def rendered(**values: Any) -> list[dict[str, Any]]:
    values = {"configuration": CONFIGURATION, **values}
    with helm.Chart.load(str(CHART)) as chart:
        chart.validate_schema(values)
        files = chart.render(values=values, name="edge", namespace="penstock")
    documents = [each for text in files.values() for each in documents_of(text)]
    assert documents
    return documents


def documents_of(text: str) -> list[dict[str, Any]]:
    if not text.strip().startswith(("apiVersion", "#", "---", "\n")):
        return []  # NOTES.txt
    return [each for each in yaml.safe_load_all(text) if each]


def validate(documents: list[dict[str, Any]], version: str) -> None:
    for each in documents:
        if each["kind"] not in FOREIGN:
            kubernetes_validate.validate(each, version, strict=True)


def of_kind(documents: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each for each in documents if each["kind"] == kind]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_plain_manifests_are_accepted(version: str) -> None:
    validate(documents_of(MANIFESTS.read_text()), version)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"rbac": False, "admin": {"existingSecret": "mine"}, "serviceMonitor": True},
        {
            "nodeSelector": {"a": "b"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "podAnnotations": {"a": "b"},
            "env": [{"name": "A", "value": "b"}],
            "volumes": [{"name": "tls", "secret": {"secretName": "tls"}}],
            "volumeMounts": [{"name": "tls", "mountPath": "/tls"}],
            "service": {
                "type": "LoadBalancer",
                "annotations": {"x": "y"},
                "ports": [{"name": "game", "port": 7777, "targetPort": 7777, "protocol": "UDP"}],
            },
        },
    ],
    ids=["defaults", "own secret", "everything"],
)
def test_what_the_chart_makes_is_accepted(values: dict[str, Any], version: str) -> None:
    validate(rendered(**values), version)


def test_the_chart_s_configuration_passes_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_ADMIN_TOKEN", "a-token-of-some-length-0123")
    monkeypatch.setenv("PENSTOCK_READ_TOKEN", "another-token-of-some-length")
    [made] = of_kind(rendered(), "ConfigMap")
    text = made["data"]["penstock.yaml"]
    configured = compile_document(load_text(text, "the chart's", tmp_path), None)
    assert configured.admin.token == "a-token-of-some-length-0123"
    assert configured.snapshot.pools[0].discover


def test_pods_are_replaced_when_the_configuration_changes() -> None:
    def checksum(**values: Any) -> str:
        [made] = of_kind(rendered(**values), "Deployment")
        return str(made["spec"]["template"]["metadata"]["annotations"]["checksum/configuration"])

    changed = {"configuration": {**CONFIGURATION, "via": "edge"}}
    assert checksum() == checksum() != checksum(**changed)


def test_values_that_the_chart_does_not_know_are_refused() -> None:
    with pytest.raises(Exception, match="has an example"):
        rendered(configuration={})
    unknown: list[dict[str, Any]] = [
        {"replica": 3},
        {"configuration": {"admin": "off"}},
        {"service": {"ports": []}},
    ]
    for wrong in unknown:
        with pytest.raises(Exception, match="at '"):
            rendered(**wrong)
