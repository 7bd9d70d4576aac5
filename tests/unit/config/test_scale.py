"""`scale`: what it compiles to, and what does not fit together is refused with what to write."""

from pathlib import Path

import pytest

from penstock.control.scale.actuators import actuators
from tests.unit.config.documents import errors_of, load

PROCESS = "process: {command: engine --port {port}, ports: 9000-9003}"


def pool(scale: str, *, more: str = "", endpoints: str = "[]") -> str:
    return f"pools:\n  main:\n    endpoints: {endpoints}\n    {more}\n    scale: {{{scale}}}\n"


def test_a_pool_may_have_no_endpoints_but_those_that_are_started(tmp_path: Path) -> None:
    text = pool(f"max: 4, concurrency: 8, {PROCESS.replace('{port}', 'PORT')}").replace(
        "engine --port PORT", '"engine --port {port}"'
    )
    (made,) = load(text, tmp_path).snapshot.pools
    assert made.endpoints == ()
    assert made.scale is not None
    assert made.scale.actuator.name == "process"
    assert made.scale.actuator.options["command"] == ["engine", "--port", "{port}"]
    assert made.scale.actuator.options["kill_after"] == 30.0
    assert made.scale.actuator.options["ports"] == [9000, 9003]


def test_without_an_actuator_the_number_is_published(tmp_path: Path) -> None:
    text = pool("max: 4, concurrency: 8", endpoints='["http://10.0.0.1:80"]')
    (made,) = load(text, tmp_path).snapshot.pools
    assert made.scale is not None
    assert made.scale.actuator.name == "publish"


def test_a_pool_that_is_scaled_is_forecast_unless_it_says_otherwise(tmp_path: Path) -> None:
    text = pool("max: 4, concurrency: 8", endpoints='["http://10.0.0.1:80"]')
    (made,) = load(text, tmp_path).snapshot.pools
    assert made.forecast is not None
    text = pool("max: 4, concurrency: 8", more="forecast: off", endpoints='["http://10.0.0.1:80"]')
    (made,) = load(text, tmp_path).snapshot.pools
    assert made.forecast is None


def test_every_actuator_that_can_be_configured_exists() -> None:
    from penstock.config.document.scale import ACTUATORS

    assert {*ACTUATORS, "publish"} == set(actuators())


def test_hours_of_some_days(tmp_path: Path) -> None:
    window = 'windows: [{days: [mon, sunday], begin: "08:30", end: "24:00", min: 3}]'
    text = pool(f"max: 4, concurrency: 8, {window}", endpoints='["http://10.0.0.1:80"]')
    (made,) = load(text, tmp_path).snapshot.pools
    assert made.scale is not None
    (compiled,) = made.scale.windows
    assert (compiled.days, compiled.from_s, compiled.to_s, compiled.min) == (
        (0, 6),
        30600.0,
        86400.0,
        3,
    )


ONE = '["http://10.0.0.1:80"]'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (pool("max: 4", endpoints=ONE), "`concurrency: 8`"),
        (pool("max: 1, min: 2, concurrency: 8", endpoints=ONE), "`min` is 2, and `max` 1"),
        (pool("max: 4, min: 0, concurrency: 8"), "while_down: wait"),
        (pool("max: 4, concurrency: 8", endpoints='["tcp://10.0.0.1:80"]'), "http:// endpoints"),
        (pool("max: 4, concurrency: 8, ttft: 1s", endpoints=ONE), "`concurrency` is given"),
        (pool("max: 4, concurrency: 8, dockr: {}", endpoints=ONE), "unknown key"),
        (
            pool("max: 9, concurrency: 8, process: {command: engine, ports: 9000-9003}"),
            "are 4, and up to 9 endpoints are to be started",
        ),
        (
            pool("max: 4, concurrency: 8, process: {command: engine, ports: 9000-9003}"),
            "has no `{port}`",
        ),
        (
            pool("max: 4, concurrency: 8, process: {command: engine, ports: many}"),
            "a range of ports such as 9000-9031",
        ),
        (
            pool("max: 4, concurrency: 8, windows: [{begin: 8am}]", endpoints=ONE),
            'a time such as `"08:30"`',
        ),
        (
            pool("max: 4", more="kind: llm\n    policy: least-request", endpoints=ONE),
            "`policy: marginal-cost`",
        ),
        (
            pool(
                "max: 4, concurrency: 8, command: {command: a}, "
                "process: {command: b, ports: 9000-9003}"
            ),
            "give one of `process` and `command`",
        ),
        (
            pool("max: 4, concurrency: 8, kubernetes: {deployment: a, statefulset: b}"),
            "give one of `deployment` and `statefulset`",
        ),
        (
            pool("max: 4, concurrency: 8, kubernetes: {deployment: a}", endpoints=ONE),
            "add `discover: {kubernetes: SERVICE}`",
        ),
        (
            pool(
                "max: 4, concurrency: 8, max_in_flight: 9, kubernetes: {deployment: a}",
                more="discover: {kubernetes: a}",
            ),
            "endpoints are as `discover` finds them",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_file_and_line(
    text: str, said: str, tmp_path: Path
) -> None:
    errors = errors_of(text, tmp_path)
    assert any(said in error for error in errors), errors
    assert all(error.split(":")[0].isdigit() for error in errors)  # the line


def test_a_queue_that_is_shorter_than_a_start_is_doubtful(tmp_path: Path) -> None:
    queue = "admission: {queue: {while_down: wait, timeout: 5s}}"
    made = load(pool("max: 4, min: 0, concurrency: 8", more=queue), tmp_path)
    assert any("a start is said to take 60 s" in warning for warning in made.warnings)


def test_a_group_of_aws_needs_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = pool("max: 4, concurrency: 8, aws: {group: llm, port: 8000}")
    (made,) = load(text, tmp_path).snapshot.pools
    assert made.scale is not None
    assert made.scale.actuator.options["group"] == "llm"
    monkeypatch.setattr("penstock.config.compile.scale.find_spec", lambda name: None)
    (error,) = errors_of(text, tmp_path)
    assert "pip install 'penstock-lb[aws]'" in error
