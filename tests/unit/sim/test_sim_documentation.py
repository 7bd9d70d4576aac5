"""docs/simulator.md says what the simulator takes."""

import re
from pathlib import Path

import yaml

from penstock.cli.simulate import simulate
from penstock.sim.reference import FILE, with_reference
from penstock.sim.scenario_file import scenario_of

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / FILE).read_text("utf-8")


def test_the_keys_of_a_scenario_are_current() -> None:
    assert with_reference(TEXT) == TEXT, "run: python -m penstock.sim.reference --write"


def test_every_link_within_the_document_leads_to_a_heading() -> None:
    headings = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    links = set(re.findall(r"\]\(#([^)]*)\)", TEXT))
    assert "server-group" in links
    assert links <= anchors


def test_every_option_is_described() -> None:
    for option in simulate.params:
        if option.param_type_name == "option":
            assert f"`--{option.name}" in TEXT or f"`{option.opts[-1]}`" in TEXT, option.name


def test_scenarios_in_the_document_are_read() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert examples
    for example in examples:
        assert scenario_of(yaml.safe_load(example)).policies
