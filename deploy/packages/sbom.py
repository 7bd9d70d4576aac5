"""A bill of materials in CycloneDX 1.6: what Penstock is, and what it needs to run.

Versions are those of requirements.lock, with which it is tested; a wheel takes any that
pyproject.toml allows. CycloneDX: https://cyclonedx.org/docs/1.6/json
"""

import hashlib
import json
import re
import tomllib
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path
from typing import Any, Final

from deploy.packages.source import LOCK, ROOT, version

_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
# Of names of packages: our serial numbers are made from the content, so that they repeat.
_NAMESPACE: Final = uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")


def bill_of_materials(wheels: Sequence[Path], date_s: int) -> str:
    """The document, the same for the same wheels, lock and time."""
    locked = _locked()
    needed = closure(direct())
    components = [_component(name, locked.get(name, "")) for name in sorted(needed)]
    ours = f"pkg:pypi/penstock-lb@{version()}"
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(date_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": ours,
                "name": "penstock-lb",
                "version": version(),
                "description": "A load balancer for AI systems",
                "licenses": [{"license": {"id": "Apache-2.0"}}],
                "purl": ours,
                "components": [_wheel(file, ours) for file in sorted(wheels)],
            },
        },
        "components": components,
        "dependencies": [
            {"ref": ours, "dependsOn": [_reference(n, locked) for n in sorted(direct())]},
            *(
                {
                    "ref": _reference(name, locked),
                    "dependsOn": sorted(_reference(each, locked) for each in of & needed.keys()),
                }
                for name, of in sorted(needed.items())
            ),
        ],
    }
    text = json.dumps(document, sort_keys=True)
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(_NAMESPACE, text)}"
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def closure(names: Iterable[str]) -> dict[str, set[str]]:
    """All that these need, directly and by each other, as far as it is installed here."""
    found: dict[str, set[str]] = {}
    left = [*names]
    while left:
        name = left.pop()
        if name in found:
            continue
        try:
            found[name] = _needed(requires(name) or ())
        except PackageNotFoundError:
            continue  # of another version of Python
        left += found[name]
    return found


def canonical(name: str) -> str:
    """As indexes compare names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def direct() -> set[str]:
    """What Penstock itself needs to run."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return _needed(project["dependencies"])


def _needed(requirements: Iterable[str]) -> set[str]:
    """Without those of extras."""
    names = (_NAME.match(each) for each in requirements if "extra ==" not in each)
    return {canonical(found[0]) for found in names if found}


def _locked() -> dict[str, str]:
    lines = LOCK.read_text().splitlines()
    pairs = (line.partition(";")[0].rstrip(" \\").split("==") for line in lines if "==" in line)
    return {canonical(pair[0].strip()): pair[1].strip() for pair in pairs}


def _reference(name: str, locked: dict[str, str]) -> str:
    return f"pkg:pypi/{name}@{locked[name]}" if locked.get(name) else f"pkg:pypi/{name}"


def _component(name: str, locked: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": "library",
        "bom-ref": _reference(name, {name: locked}),
        "name": name,
        "purl": _reference(name, {name: locked}),
    }
    if locked:
        made["version"] = locked
    about = distribution(name).metadata
    if "License-Expression" in about:
        made["licenses"] = [{"expression": about["License-Expression"]}]
    return made


def _wheel(file: Path, ours: str) -> dict[str, Any]:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return {
        "type": "file",
        "bom-ref": f"{ours}#{file.name}",
        "name": file.name,
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }
