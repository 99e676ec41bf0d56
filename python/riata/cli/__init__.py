"""The command `riata`.

This file owns the list of commands. `program` has those that start programs (with `interpreter`, `reload` and `compare`
behind them), `doctor` and `completion` one each; `modernize` is what works behind the command of that name.
"""

import os
import platform
from typing import Final

import click

from riata.cli.completion import completion
from riata.cli.doctor import doctor
from riata.cli.program import EXAMPLES, compare, run

__all__ = ["main"]


# https://no-color.org; click knows terminals, and not this.
COLOURS: Final = False if os.environ.get("NO_COLOR") else None


@click.group(context_settings={"help_option_names": ["-h", "--help"], "color": COLOURS}, epilog=EXAMPLES)
@click.version_option(
    package_name="riata",
    message=f"riata %(version)s ({platform.python_implementation()} {platform.python_version()})",
)
def main() -> None:
    """An asyncio event loop in Rust, for programs as they are."""


@main.command(
    short_help="Write today's asyncio into old programs.",
    epilog="""\b
Examples:
  riata modernize old.py
  riata modernize --write src/*.py
""",
)
@click.option("--write", is_flag=True, help="Change the files; otherwise the changes are printed.")
@click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="FILE...")
def modernize(files: tuple[str, ...], write: bool) -> None:
    """Change what Python took away from asyncio to what is written today, and nothing else.

    @asyncio.coroutine and yield from, loop=, coroutines given to asyncio.wait, asyncio.get_event_loop(), with (yield
    from lock), asyncio.Task.all_tasks. What cannot be known from the text alone is told of on stderr, with its line.
    Ends with status 1 if a file could not be read or is no Python.
    """
    try:
        from riata.cli.modernize import modernize_files
    except ImportError:
        raise click.ClickException("a library that reads Python is needed: pip install 'riata[modernize]'") from None
    modernize_files(files, write)


for command in (run, compare, doctor, completion):
    main.add_command(command)
