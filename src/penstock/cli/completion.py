"""Print what makes a shell complete the command."""

from typing import Final

import click

EXAMPLES: Final = """\b
Examples:
  penstock completion bash > ~/.local/share/bash-completion/completions/penstock
  penstock completion zsh > ~/.zfunc/_penstock
  penstock completion fish > ~/.config/fish/completions/penstock.fish"""
VARIABLE: Final = "_PENSTOCK_COMPLETE"  # as click names it after the command


@click.command(epilog=EXAMPLES)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script with which SHELL completes verbs, options and files.

    bash needs bash-completion, or `source` of the file; for zsh the directory belongs to its
    `fpath`, before `compinit` is called.
    """
    from click.shell_completion import ShellComplete, get_completion_class

    from penstock.cli.main import penstock_command

    kind = get_completion_class(shell)
    assert kind is not None
    # The base's: bash's own asks an installed bash for its version first.
    click.echo(ShellComplete.source(kind(penstock_command, {}, "penstock", VARIABLE)), nl=False)
