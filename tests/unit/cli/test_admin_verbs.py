"""Verbs of `ctl` derive from commands: arguments, options, help, and what is sent."""

from typing import Annotated, Any, ClassVar, Literal

import click
import pytest
from click.testing import CliRunner, Result
from msgspec import Meta

from penstock.admin.command import Command
from penstock.cli._admin_client import Admin
from penstock.cli._admin_verbs import verb_of


class Tune(Command):
    """Tune an endpoint.

    To taste.
    """

    name: ClassVar[str] = "tune"
    example: ClassVar[str] = "main/a 0.5"
    pool: str
    endpoint: str
    share: Annotated[float, Meta(ge=0.0, le=1.0)]
    tries: Annotated[int, Meta(ge=1, description="How often.")] = 3
    dry_run: Annotated[bool, Meta(description="Change nothing.")] = False
    note: str = ""

    @classmethod
    def told(cls, answer: dict[str, Any]) -> str:
        return f"tuned {answer['what']}"


class Ask(Command):
    """Ask."""

    name: ClassVar[str] = "ask"
    method: ClassVar[Literal["GET", "POST"]] = "GET"


class RememberingAdmin(Admin):
    """Remembers what it was given, and answers alike."""

    def give(self, command: type[Command], values: dict[str, object]) -> dict[str, Any]:
        GIVEN.append((command, values))
        return {"what": "it"}


GIVEN: list[tuple[type[Command], dict[str, object]]] = []


@pytest.fixture(autouse=True)
def _nothing_given() -> None:
    GIVEN.clear()


def run(verb: click.Command, *arguments: str) -> Result:
    return CliRunner().invoke(verb, arguments, obj=RememberingAdmin("http://a", None))


def test_fields_without_a_default_are_arguments_and_others_options() -> None:
    done = run(verb_of(Tune), "main/a/b", "0.5", "--tries", "2", "--dry-run")
    assert done.output == "tuned it\n"
    values = {"pool": "main", "endpoint": "a/b", "share": 0.5, "tries": 2, "dry_run": True}
    assert [(Tune, {**values, "note": ""})] == GIVEN


def test_help_is_the_commands_own() -> None:
    shown = run(verb_of(Tune, examples=["main/b 1"]), "--help").output
    for piece in (
        "POOL/ENDPOINT SHARE",
        "Tune an endpoint.\n\n  To taste.",
        "How often.  [default: 3; x>=1]",
        "--dry-run",
        "penstock ctl tune main/a 0.5\n  ",
        "penstock ctl tune main/b 1",
    ):
        assert piece in shown


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["main", "0.5"], "write POOL/ENDPOINT"),
        (["main/a", "1.5"], "1.5 is not in the range 0.0<=x<=1.0"),
        (["main/a", "nan"], "a number is needed, not nan"),
        (["main/a", "much"], "'much' is not a valid float"),
        (["main/a", "1", "--tries", "0"], "0 is not in the range x>=1"),
        (["main/a"], "Missing argument 'SHARE'"),
    ],
)
def test_what_the_command_would_refuse_is_refused_before_it_is_sent(
    arguments: list[str], reason: str
) -> None:
    done = run(verb_of(Tune), *arguments)
    assert done.exit_code == 2
    assert reason in done.output
    assert GIVEN == []


def test_an_answer_can_be_shown_otherwise_with_options_of_its_own() -> None:
    def show(admin: Admin, values: dict[str, Any], answer: dict[str, Any], *, loud: bool) -> None:
        click.echo("IT" if loud else "it")

    option = click.Option(["--loud"], is_flag=True)
    done = run(verb_of(Ask, [option], show=show), "--loud")
    assert done.output == "IT\n"
    assert [(Ask, {})] == GIVEN


def test_a_question_is_a_query_and_a_command_a_body(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[object, ...]] = []

    def answer(_: Admin, *request: object) -> dict[str, Any]:
        sent.append(request)
        return {}

    monkeypatch.setattr(Admin, "_ask", answer)
    admin = Admin("http://a", None)
    admin.give(Ask, {"id": "a b"})
    admin.give(Tune, {"pool": "main"})
    assert sent == [
        ("GET", "/api/v1/ask?id=a+b", None),
        ("POST", "/api/v1/tune", {"pool": "main"}),
    ]
