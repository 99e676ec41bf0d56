"""The command `riata`: runs programs on riata's loop.

This file owns the words of the command line; `interpreter` starts the program.
"""

import platform
from typing import Final

import click

from riata.cli.interpreter import CommandLine, StartError, replace_process

__all__ = ["main"]

EXAMPLES: Final = """\b
Examples:
  riata run server.py --port 8080
  riata run -m aiohttp.web -H 127.0.0.1 server:make_app
  riata run -c 'import asyncio; asyncio.run(asyncio.sleep(1))'
  riata run -X dev -W error server.py
  generate-program | riata run - ARG
"""


class _Program(click.Command):
    """A command whose arguments, except for a leading `--help`, belong to somebody else."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep click's hands off everything but a help option in first place."""
        if args[:1] not in (["--help"], ["-h"]):
            args = ["--", *args]
        return super().parse_args(ctx, args)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXAMPLES,
)
@click.version_option(
    package_name="riata",
    message=f"riata %(version)s ({platform.python_implementation()} {platform.python_version()})",
)
def main() -> None:
    """An asyncio event loop in Rust, for programs as they are."""


@main.command(
    cls=_Program,
    options_metavar="[--no-primitives] [PYTHON OPTIONS]",
    epilog=EXAMPLES,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-m MODULE | SCRIPT | -c CODE] [ARG]...")
def run(arguments: tuple[str, ...]) -> None:
    """Run a program on riata's loop, otherwise exactly as `python` would.

    SCRIPT is a file, a directory or zip file with a __main__.py, or - for standard input. Options before
    the program are Python's own (`python --help` lists them); options after it are the program's.

    With --no-primitives in first place the program gets riata's loop alone; asyncio's building blocks (gather, sleep,
    task groups, …) stay asyncio's.

    Python programs that it starts as new processes run on asyncio's loop, unless started with `riata run` again.
    """
    primitives = arguments[:1] != ("--no-primitives",)
    command = CommandLine.parse(arguments if primitives else arguments[1:])
    if not command.program:
        raise click.UsageError("name a program to run: -m MODULE, SCRIPT or -c CODE")
    try:
        replace_process(command, primitives=primitives)
    except StartError as error:
        raise click.ClickException(str(error)) from None
