"""YAML, TOML and JSON say the same, and point to the same places."""

from pathlib import Path

import pytest

from penstock.config.load.document import load_document
from penstock.config.load.errors import ConfigError, Position

YAML = """\
listen: 127.0.0.1:1
pools:
  main:
    endpoints:
      - url: ${URL}
        weight: 2
      - http://b:1
    timeouts:
      connect: 250ms
"""
TOML = """\
listen = "127.0.0.1:1"

[pools.main.timeouts]
connect = "250ms"

[[pools.main.endpoints]]
url = "${URL}"
weight = 2

[[pools.main.endpoints]]
url = "http://b:1"
"""
JSON = """\
{
\t"listen": "127.0.0.1:1",
\t"pools": {"main": {
\t\t"endpoints": [
\t\t\t{"url": "${URL}", "weight": 2},
\t\t\t"http:\\/\\/b:1"
\t\t],
\t\t"timeouts": {"connect": "250ms"}
\t}}
}
"""
ENVIRONMENT = {"URL": "https://a"}


def write(directory: Path, suffix: str, text: str) -> Path:
    file = directory / f"penstock{suffix}"
    file.write_text(text)
    return file


def test_the_three_formats_say_the_same(tmp_path: Path) -> None:
    yaml, toml, json = (
        load_document(write(tmp_path, suffix, text), ENVIRONMENT).document
        for suffix, text in ((".yaml", YAML), (".toml", TOML), (".json", JSON))
    )
    assert yaml == toml == json
    assert load_document(write(tmp_path, ".conf", YAML), ENVIRONMENT).document == yaml


@pytest.mark.parametrize(
    ("suffix", "text", "line"), [(".yaml", YAML, 6), (".toml", TOML, 8), (".json", JSON, 5)]
)
def test_each_format_points_to_the_line(suffix: str, text: str, line: int, tmp_path: Path) -> None:
    file = write(tmp_path, suffix, text.replace("weight", "wieght"))
    with pytest.raises(ConfigError) as caught:
        load_document(file, ENVIRONMENT)
    assert f"{file}:{line}:" in str(caught.value)
    assert "pools.main.endpoints[0].wieght: unknown key; did you mean 'weight'?" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("suffix", "text", "line"), [(".yaml", YAML, 5), (".toml", TOML, 7), (".json", JSON, 5)]
)
def test_each_format_points_to_an_unset_variable(
    suffix: str, text: str, line: int, tmp_path: Path
) -> None:
    file = write(tmp_path, suffix, text)
    with pytest.raises(ConfigError) as caught:
        load_document(file, {"URI": "x"})
    (message,) = str(caught.value).splitlines()
    assert message.startswith(f"{file}:{line}:")
    assert "the environment variable URL is not set; did you mean 'URI'?" in message


@pytest.mark.parametrize(
    ("suffix", "text", "position"),
    [
        (".json", '{"listen": "a:1",\n}', Position(2, 1)),
        (".json", "[" * 100_000, None),
        (".json", '{"workers": ' + "9" * 10_000 + "}", None),
        (".toml", "listen = \n", Position(1, 10)),
        (".toml", "a = 1\na = 2\n", Position(2, 6)),
    ],
)
def test_bad_syntax_is_refused_with_its_place(
    suffix: str, text: str, position: Position | None, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_document(write(tmp_path, suffix, text))
    assert caught.value.problems[0].position == position


def test_a_key_given_twice_in_json_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, ".json", '{"listen": "a:1",\n "listen": "b:1"}')
    with pytest.raises(ConfigError, match="2:2: listen: given twice; the first is in line 1"):
        load_document(file)


def test_json_that_yaml_cannot_follow_is_read_all_the_same(tmp_path: Path) -> None:
    file = write(tmp_path, ".json", '{"via": "\\ud83d\\ude00", "wrokers": 1}')
    with pytest.raises(ConfigError, match="did you mean 'workers'") as caught:
        load_document(file)
    assert "via" in str(caught.value)


def test_arrays_of_tables_in_toml_are_counted(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        ".toml",
        "[pools.'a']\nendpoints = 'a:1'\n[[routes]]\npool = 'a'\n[[routes]]\n"
        "match.pth = '/x'\npool = 'a'\n[routes.rewrite]\nprfix = '/'\n",
    )
    with pytest.raises(ConfigError) as caught:
        load_document(file)
    assert f"{file}:6:1: routes[1].match.pth: unknown key" in str(caught.value)
    assert f"{file}:9:1: routes[1].rewrite.prfix: unknown key" in str(caught.value)
