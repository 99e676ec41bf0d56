"""`riata completion`: what a shell has to read to complete riata's commands and options."""

import click
from click.shell_completion import get_completion_class

# A ~/.zshrc that is empty otherwise has no completion at all.
_ZSH_BEGINS = """#compdef riata

(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
"""


@click.command(
    short_help="Print what completes this in a shell.",
    epilog="""\b
Examples:
  riata completion bash >> ~/.bashrc
  riata completion zsh >> ~/.zshrc
  mkdir -p ~/.config/fish/completions
  riata completion fish > ~/.config/fish/completions/riata.fish
""",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes riata's commands and options in SHELL."""
    made = get_completion_class(shell)
    assert made is not None  # click has these three
    source = made(ctx.find_root().command, {}, "riata", "_RIATA_COMPLETE").source()
    if shell == "zsh":
        source = source.replace("#compdef riata\n", _ZSH_BEGINS, 1)
    click.echo(source)
