"""`riata completion`: what a shell has to read to complete riata's commands and options."""

import click
from click.shell_completion import get_completion_class


@click.command(
    short_help="Print what completes this in a shell.",
    epilog="""\b
Examples:
  riata completion bash >> ~/.bashrc
  riata completion zsh >> ~/.zshrc
  riata completion fish > ~/.config/fish/completions/riata.fish
""",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes riata's commands and options in SHELL."""
    made = get_completion_class(shell)
    assert made is not None  # click has these three
    click.echo(made(ctx.find_root().command, {}, "riata", "_RIATA_COMPLETE").source())
