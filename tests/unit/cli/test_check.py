"""`check` says what a file says, or what is wrong with it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from penstock.cli.main import penstock_command

DOCUMENT = """\
workers: 2
admin: {address: 0.0.0.0:9900, token: a-secret-token-of-some-length}
listeners:
  public: {address: "[::1]:8080"}
pools:
  stable:
    endpoints:
      - {url: a:1, weight: 2, max_in_flight: 8}
      - {url: a:2, backup: true, zone: east}
      - {url: a:3, priority: 1}
      - a:4
      - a:5
      - a:6
    circuit_breaker: on
    admission: {queue: {length: 50, timeout: 2s}, limit: gradient2}
    health_check: /health
    sticky: {keys: a-secret-key-of-some-length}
  canary: {endpoints: b:1, policy: round-robin}
  models:
    kind: llm
    endpoints: {url: c:1, models: big}
    models: {aliases: {chat: {big: 3, small: 1}}, fallbacks: {big: small}}
routes:
  - {name: old, match: {path: /old}, redirect: {path: /}}
  - {name: gone, match: {path_prefix: /x, methods: GET, headers: {a: b}}, respond: 410}
  - {name: health, grpc_service: grpc.health.v1.Health}
  - {name: all, match: {listeners: public}, pools: {stable: 95, canary: 5}, mirror: canary}
"""


def check(*arguments: str) -> Result:
    return CliRunner().invoke(penstock_command, ["check", *arguments], prog_name="penstock")


def test_a_right_file_is_summed_up_without_its_secrets(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(DOCUMENT)
    done = check(str(file))
    assert done.exit_code == 0, done.output
    assert done.output.splitlines() == [
        f"{file} is valid.",
        "listeners:",
        "  public: http://[::1]:8080",
        "routes:",
        "  old: path /old → redirect 308",
        "  gone: GET, path /x*, a exact → respond 410",
        "  health: path /grpc.health.v1.Health* → answer grpc.health.v1.Health",
        "  all: on public → stable 95.0%, canary 5.0%, mirrored to canary",
        "pools:",
        "  stable: least-request, http health check, sticky cookie penstock-stable, "
        "circuit breaker, limit gradient2, queue of 50 for up to 2s: "
        "a:1 (weight 2, at most 8 in flight), a:2 (backup, zone east), a:3 (priority 1), a:4, "
        "and 2 more",
        "  canary: round-robin, no health check: b:1",
        "  models: kind llm, marginal-cost, no health check: c:1 (models big)",
        "    alias chat → big 75.0%, small 25.0%",
        "    fallback of big: small",
        "admin: 0.0.0.0:9900 (token)   workers: 2",
    ]


def test_a_wrong_file_is_explained_and_the_exit_code_is_1(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text("endpoints: a:1\nlistn: b:1\n")
    done = check(str(file))
    assert done.exit_code == 1
    assert done.output == f"Error: {file}:2:1: listn: unknown key; did you mean 'listen'?\n"


@pytest.mark.parametrize("policy", ["marginal-cost", "{name: subset, policy: cache-aware}"])
def test_a_policy_that_reads_prompts_is_doubted_where_there_are_none(
    tmp_path: Path, policy: str
) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(f"pools:\n  main:\n    endpoints: a:1\n    policy: {policy}\n")
    done = check(str(file))
    assert (done.exit_code, done.stdout.splitlines()[0]) == (0, f"{file} is valid.")
    (warning,) = done.stderr.splitlines()
    assert warning.startswith(f"Warning: {file}:4:5: pools.main.policy: '")
    assert "kind: llm" in warning
    file.write_text(file.read_text() + "    kind: llm\n")
    assert check(str(file)).stderr == ""


@pytest.mark.parametrize("policy", ["least-request", "peak-ewma", "session", "adaptive"])
def test_other_policies_are_not_doubted(tmp_path: Path, policy: str) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(f"endpoints: a:1\npolicy: {policy}\n")
    assert check(str(file)).stderr == ""


def test_the_schema_is_printed_as_json() -> None:
    done = check("--print-schema")
    assert done.exit_code == 0
    assert json.loads(done.output)["title"] == "Penstock configuration"


def test_without_a_file_the_use_is_explained() -> None:
    done = check()
    assert done.exit_code == 2
    assert "give the FILE to check, or --print-schema" in done.output
