"""PyPI's `penstock` is another project: nothing here installs it. Ours is `penstock-lb`."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
READ = ("src", "docs", "deploy", "examples", ".github", "tests", "benchmarks", ".ci")
# An extra of it, a version of it, or its bare name after a command that installs by name.
OTHERS = re.compile(
    r"(?<![\w./-])penstock(?:\[\w|[=>~]=\d)"
    r"|\b(?:pip3? install|pipx (?:install|run)|uv (?:pip install|tool install|add)|uvx|poetry add)"
    r"(?: +--?[\w-]+)*? +['\"]?penstock(?![\w./:-])"
)


def files() -> list[Path]:
    """What people read, run or build from."""
    found = [path for path in ROOT.iterdir() if path.is_file() and path.name != "CHANGELOG.md"]
    for folder in READ:
        found += [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    return [path for path in found if path.suffix not in (".pyc", ".so") and path != Path(__file__)]


def text_of(path: Path) -> str:
    return path.read_bytes().decode(errors="replace")


def test_the_distribution_is_called_penstock_lb_and_the_command_penstock() -> None:
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    assert project["name"] == "penstock-lb"
    assert project["scripts"] == {"penstock": "penstock.cli.main:main"}


def test_nothing_installs_the_other_project() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in files()
        for match in OTHERS.finditer(text_of(path))
    ]
    assert not found


def test_what_would_install_the_other_project_is_recognised() -> None:
    wrong = [
        "pip install penstock",
        "pip install --no-cache-dir penstock",
        "pip install 'penstock[acme]'",
        "the extra `penstock[acme]`",
        "pip install -U penstock==0.1.0",
        "uvx penstock serve",
        "pipx run penstock",
        "uv tool install penstock",
    ]
    right = [
        "pip install penstock-lb",
        "pip install 'penstock-lb[acme]'",
        "pip install dist/penstock_lb-0.1.0-py3-none-any.whl",
        "pip install .",
        "uvx --from penstock-lb penstock serve",
        "pip install ./penstock",
    ]
    assert [text for text in wrong if not OTHERS.search(text)] == []
    assert [text for text in right if OTHERS.search(text)] == []
