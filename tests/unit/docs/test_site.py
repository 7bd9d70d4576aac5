"""What the documentation shows can be done: its blocks are configurations, its commands ours."""

import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from penstock.cli.main import penstock_command
from penstock.config.compile.snapshot import compile_document
from penstock.config.load.document import load_text
from penstock.config.load.errors import ConfigError

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
SITE: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
PAGES = sorted(path for path in DOCS.rglob("*.md") if "adr" not in path.parts)
SHOWN = [*PAGES, ROOT / "README.md", ROOT / "README.zh-CN.md", ROOT / "SECURITY.md"]
# Not whole, or of another program: the simulator's scenarios, Prometheus's own files.
FOREIGN = re.compile(r"^(?:servers|scrape_configs|rule_files|groups|apiVersion):", re.MULTILINE)
# A fragment is shown as it stands in a whole file.
AROUND = (
    "{}",
    "endpoints: [http://127.0.0.1:9001]\n{}",
    "pools:\n  shown:\n    endpoints: [http://127.0.0.1:9001]\n    {}",
    "pools:\n  shown:\n    kind: llm\n    endpoints: [http://127.0.0.1:9001]\n    {}",
    "pools:\n  shown:\n    kind: llm\n    {}",
    "endpoints: [http://127.0.0.1:9001]\nlisteners:\n  shown:\n    address: 127.0.0.1:8080\n    {}",
    "endpoints: [http://127.0.0.1:9001]\nlisteners:\n  {}",
    "pools:\n  {}",
    "pools: {{main: {{endpoints: [http://127.0.0.1:9001]}}}}\nroutes:\n  {}",
)


def blocks(file: Path, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", file.read_text(), re.DOTALL | re.MULTILINE)


def pages_of(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for each in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from pages_of(each)


def commands_of(script: str) -> Iterator[list[str]]:
    """Each call of penstock in it, in words."""
    for line in script.replace("\\\n", " ").splitlines():
        for part in re.split(r"\|\|?|&&|;|(?<![>\d])&(?!\d)", line):
            try:
                words = shlex.split(re.sub(r"\d?>>?\s*\S+", "", part), comments=True)
            except ValueError:
                continue
            while words and (words[0] in ("$", "nice", "exec", "sudo") or "=" in words[0]):
                words = words[1:]
            if words[:1] == ["penstock"]:
                yield words[1:]


def test_the_site_has_every_page_and_every_page_is_there() -> None:
    listed = [*pages_of(SITE["nav"])]
    assert len(listed) == len({*listed})
    there = {str(path.relative_to(DOCS)) for path in PAGES if not path.name.endswith(".zh.md")}
    assert {*listed} == there


@pytest.mark.parametrize("file", SHOWN, ids=lambda file: str(file.relative_to(ROOT)))
def test_each_link_within_the_repository_leads_somewhere(file: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", file.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)", text):
        if "://" not in target:
            assert (file.parent / target).exists(), target


def test_each_tutorial_is_in_both_languages_with_the_same_commands() -> None:
    english = [path for path in TUTORIALS if not path.name.endswith(".zh.md")]
    assert {path.stem for path in english} == {"game", "models", "shop"}
    for path in english:
        chinese = path.with_suffix(".zh.md")
        for language in ("sh", "yaml", "python"):
            assert blocks(path, language) == blocks(chinese, language), chinese


@pytest.mark.parametrize("file", TUTORIALS, ids=lambda file: file.name)
def test_each_configuration_of_a_tutorial_is_whole(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COOKIE_KEY", "0123456789abcdef0123456789abcdef")
    for text in blocks(file, "yaml"):
        assert compile_document(load_text(text, file.name, tmp_path), None).snapshot.pools


@pytest.mark.parametrize("file", SHOWN, ids=lambda file: str(file.relative_to(ROOT)))
def test_each_command_is_one_that_penstock_takes(file: Path) -> None:
    for script in blocks(file, "(?:sh|bash|console|shell)"):
        for words in commands_of(script):
            if "VERB" in words or words[0].startswith("…"):
                continue
            parse(penstock_command, words, f"{file.name}: penstock {' '.join(words)}")


def parse(command: click.Command, words: list[str], shown: str) -> None:
    """As the command line would, without running it."""
    try:
        context = command.make_context(command.name, [*words])
        if isinstance(command, click.Group) and context.args is not None:
            rest = [*context._protected_args, *context.args]
            if rest:
                _, verb, left = command.resolve_command(context, rest)
                assert verb is not None
                parse(verb, left, shown)
    except click.exceptions.Exit:
        return  # --help, --version
    except click.BadParameter as error:
        if "does not exist" not in error.message:
            raise AssertionError(f"{shown}: {error.message}") from error
    except click.UsageError as error:
        raise AssertionError(f"{shown}: {error.message}") from error


@pytest.mark.parametrize("file", SHOWN, ids=lambda file: str(file.relative_to(ROOT)))
def test_each_block_of_yaml_is_a_configuration_or_a_part_of_one(file: Path, tmp_path: Path) -> None:
    for text in blocks(file, "yaml"):
        if "…" in text or FOREIGN.search(text):
            continue
        text = text.partition("\n---\n")[0]  # what comes then is another program's
        for part in alternatives(textwrap.dedent(text)):
            problems = [problem_of(part, around, tmp_path) for around in AROUND]
            assert None in problems, f"{file.name}:\n{part}\n{min(filter(None, problems), key=len)}"


def alternatives(text: str) -> list[str]:
    """A block may show several ways to write the same key: each begins with it."""
    parts: list[list[str]] = [[]]
    for line in text.splitlines(keepends=True):
        key = line.partition(":")[0] if line[:1].isalpha() else ""
        if key and any(each.startswith(f"{key}:") for each in parts[-1]):
            parts.append([])
        parts[-1].append(line)
    return ["".join(part) for part in parts]


def problem_of(text: str, around: str, directory: Path) -> str | None:
    """Why it cannot run so; what needs files, names or variables of elsewhere can be right."""
    last = around.partition("{}")[0].rpartition("\n")[2]
    text = re.sub(r"\$\{\w+\}", "a-secret-of-some-length-0123456789", text)
    inner = text.replace("\n", f"\n{' ' * len(last)}" if not last.strip() else "\n")
    whole = around.replace("{{", "{").replace("}}", "}").replace("{}", inner)
    try:
        load_text(whole, "shown", directory)
    except ConfigError as error:
        return str(error)
    return None
