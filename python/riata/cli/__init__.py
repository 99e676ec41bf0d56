"""The command `riata`: runs programs on riata's loop.

This file owns the words of the command line; `interpreter` starts the program.
"""

import platform
from difflib import get_close_matches
from typing import Final

import click

from riata.cli.interpreter import CommandLine, StartError, replace_process

__all__ = ["main"]

EXAMPLES: Final = """\b
Examples:
  riata run server.py --port 8080
  riata run -m aiohttp.web -H 127.0.0.1 server:make_app
  riata run -c 'import asyncio; asyncio.run(asyncio.sleep(1))'
  riata run --legacy written_for_python_3.5.py
  riata run -X dev -W error server.py
  generate-program | riata run - ARG
"""


# Python's own long options; any other is a mistake that would be found too late.
_PYTHONS_LONG: Final = frozenset(
    {"--check-hash-based-pycs", "--help-all", "--help-env", "--help-xoptions", "--version"}
)


class _Program(click.Command):
    """A command whose own options come first; what follows is Python's, and the program's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep click's hands off everything behind the command's own options."""
        own = self._count_own(ctx, args)
        rest = args[own:]
        if rest and rest[0].startswith("--") and rest[0] != "--" and rest[0] not in _PYTHONS_LONG:
            names = [name for option in self.get_params(ctx) for name in option.opts]
            raise click.NoSuchOption(rest[0], possibilities=get_close_matches(rest[0], names), ctx=ctx)
        return super().parse_args(ctx, [*args[:own], "--", *rest])

    def _count_own(self, ctx: click.Context, args: list[str]) -> int:
        options = {
            name: option for option in self.get_params(ctx) if isinstance(option, click.Option) for name in option.opts
        }
        count = 0
        while count < len(args) and (option := options.get(args[count].partition("=")[0])) is not None:
            count += 1 if option.is_flag or "=" in args[count] else 2
        return count


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
    options_metavar="[OPTIONS] [PYTHON OPTIONS]",
    epilog=EXAMPLES,
)
@click.option(
    "--legacy", is_flag=True, help="Give back what Python took away from asyncio: programs since Python 3.4 run."
)
@click.option(
    "--no-primitives", is_flag=True, help="Install the loop alone; gather, sleep and the like stay asyncio's."
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-m MODULE | SCRIPT | -c CODE] [ARG]...")
def run(arguments: tuple[str, ...], **options: object) -> None:
    """Run a program on riata's loop, otherwise exactly as `python` would.

    SCRIPT is a file, a directory or zip file with a __main__.py, or - for standard input. Behind riata's options may
    stand Python's own (`python --help` lists them); options after the program are the program's.

    Python programs that it starts as new processes run on asyncio's loop, unless started with `riata run` again.
    """
    command = CommandLine.parse(arguments)
    if not command.program:
        raise click.UsageError("name a program to run: -m MODULE, SCRIPT or -c CODE")
    try:
        replace_process(command, options)
    except StartError as error:
        raise click.ClickException(str(error)) from None
