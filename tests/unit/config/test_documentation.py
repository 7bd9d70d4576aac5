"""What is written about the configuration is true."""

import re
from pathlib import Path

import pytest
import trustme

from penstock.config.compile.snapshot import load_configuration
from penstock.config.describe import engine_table
from penstock.config.describe.reference import FILE, with_reference
from penstock.core.route import Matcher, RouteFacts, first_match
from tests.unit.config.documents import load

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


def test_the_reference_of_all_keys_is_current() -> None:
    text = (ROOT / FILE).read_text()
    assert text == with_reference(text), "run: python -m penstock.config.describe.reference --write"


def test_the_table_of_engines_is_current() -> None:
    text = (ROOT / engine_table.FILE).read_text()
    assert text == engine_table.with_engine_table(text), (
        "run: python -m penstock.config.describe.engine_table --write"
    )


def test_every_link_in_the_reference_leads_to_a_heading() -> None:
    text = (ROOT / FILE).read_text()
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    links = set(re.findall(r"\]\(#([^)]*)\)", text))
    assert "health-check" in links
    assert links <= anchors


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that the TLS example names."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name in ("www", "api"):
        issued = authority.issue_cert(f"{name}.example.com")
        issued.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        issued.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
    monkeypatch.setenv("TLS_DIRECTORY", str(tmp_path))


@pytest.mark.usefixtures("certificates")
@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_every_example_is_right(file: Path) -> None:
    configured = load_configuration(file)
    assert configured.snapshot.pools
    assert f"penstock serve --config examples/{file.name}" in file.read_text()


def test_the_examples_that_the_documentation_names_are_there() -> None:
    named = set(re.findall(r"`(\w+\.yaml)`", (ROOT / FILE).read_text()))
    assert named == {file.name for file in EXAMPLES}


def _yaml_blocks(file: str | Path) -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", (ROOT / file).read_text(), re.DOTALL)


@pytest.mark.parametrize("text", _yaml_blocks(FILE))
def test_every_block_of_the_documentation_is_a_right_document(text: str, tmp_path: Path) -> None:
    assert load(text, tmp_path).snapshot.pools


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_readme_sends_chats_to_its_pools(readme: str, tmp_path: Path) -> None:
    (text,) = _yaml_blocks(readme)
    routes = load(text, tmp_path).snapshot.routes
    chat = RouteFacts("main", "127.0.0.1", "/v1/chat/completions", "POST", [])
    taken = first_match([Matcher(route.match) for route in routes], chat)
    assert [each.pool for each in routes[taken].pools] == ["chat", "canary"]
