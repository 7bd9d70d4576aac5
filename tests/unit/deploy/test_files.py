"""What is in deploy/ is right as far as no engine, cluster or manager is needed to tell.

`make test-manifests` shows the rest of what can be shown here.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock import __version__
from penstock.config.compile.snapshot import Configured, compile_document
from penstock.config.load.document import load_text

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "docker" / "Dockerfile").read_text()
MANIFESTS = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "penstock.yaml").read_text()))
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_ADMIN_TOKEN", "a-token-of-some-length-0123")
    monkeypatch.setenv("PENSTOCK_READ_TOKEN", "another-token-of-some-length")


def checked(text: str, tmp_path: Path) -> Configured:
    return compile_document(load_text(text, "a file of deploy/", tmp_path), None)


def manifest(kind: str) -> dict[str, Any]:
    [found] = [each for each in MANIFESTS if each["kind"] == kind]
    return dict(found)


def test_the_image_does_not_run_as_root_and_has_no_installer() -> None:
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 65532:65532$", final, re.MULTILINE)
    assert "site-packages/pip*" in final
    assert "apt-get" not in final
    assert re.search(r'^ENTRYPOINT \["penstock"\]$', final, re.MULTILINE)


def test_an_image_is_built_from_what_is_needed_alone() -> None:
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    assert kept[1] == "*"
    assert {line[1:] for line in kept if line.startswith("!")} == {
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "setup.py",
        "src",
    }


def test_pods_may_write_nowhere_but_in_their_state() -> None:
    pod = manifest("Deployment")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["image"] == f"penstock-lb:{__version__}"


def test_pods_end_after_their_requests_have(tmp_path: Path) -> None:
    configured = checked(manifest("ConfigMap")["data"]["penstock.yaml"], tmp_path)
    pod = manifest("Deployment")["spec"]["template"]["spec"]
    waits_s = 5  # of preStop
    assert configured.shutdown_deadline_s + waits_s < pod["terminationGracePeriodSeconds"]
    assert configured.admin.port == 9900


def test_what_discovery_asks_for_is_allowed_and_nothing_else() -> None:
    assert manifest("Role")["rules"] == [
        {
            "apiGroups": ["discovery.k8s.io"],
            "resources": ["endpointslices"],
            "verbs": ["get", "list", "watch"],
        }
    ]


def test_the_chart_is_of_this_version_and_has_a_schema_of_all_its_values() -> None:
    chart = DEPLOY / "helm" / "penstock"
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    assert about["version"] == about["appVersion"] == __version__
    values = yaml.safe_load((chart / "values.yaml").read_text())
    schema = json.loads((chart / "values.schema.json").read_text())
    assert {*values} | {"global"} == {*schema["properties"]}


def test_compose_publishes_on_loopback_alone(tmp_path: Path) -> None:
    services = COMPOSE["services"]
    published = [port for each in services.values() for port in each.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    balancer = services["balancer"]
    assert balancer["read_only"]
    assert balancer["cap_drop"] == ["ALL"]
    configured = checked((DEPLOY / "compose" / "penstock.yaml").read_text(), tmp_path)
    hosts = {endpoint.host for endpoint in configured.snapshot.pools[0].endpoints}
    assert hosts == {name for name in services if name.startswith("engine-")}


def test_prometheus_reads_what_the_balancer_shows(tmp_path: Path) -> None:
    scraped = yaml.safe_load((DEPLOY / "compose" / "prometheus.yml").read_text())
    [job] = scraped["scrape_configs"]
    [targets] = job["static_configs"]
    configured = checked((DEPLOY / "compose" / "penstock.yaml").read_text(), tmp_path)
    assert targets["targets"] == [f"balancer:{configured.admin.port}"]
    prometheus = COMPOSE["services"]["prometheus"]
    [secret] = prometheus["configs"]
    assert job["authorization"]["credentials_file"] == secret["target"]
    assert "PENSTOCK_READ_TOKEN" in COMPOSE["configs"][secret["source"]]["content"]
    assert configured.admin.read_token == "another-token-of-some-length"
    for mounted in prometheus["volumes"]:
        source = mounted.partition(":")[0]
        assert not source.startswith(".") or (DEPLOY / "compose" / source).exists(), source


@pytest.mark.parametrize("file", sorted(DEPLOY.rglob("*.y*ml")), ids=lambda file: file.name)
def test_every_file_can_be_read(file: Path) -> None:
    if "templates" not in file.parts:  # of Helm
        assert [each for each in yaml.safe_load_all(file.read_text()) if each]
