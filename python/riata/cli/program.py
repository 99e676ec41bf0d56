"""`riata run` and what else starts programs: their own options first, then Python's, then the program."""

import math
import os
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import click
from click.shell_completion import CompletionItem

from riata.cli.interpreter import CommandLine, StartError, replace_process

EXAMPLES: Final = """\b
Examples:
  riata run server.py --port 8080
  riata run -m aiohttp.web -H 127.0.0.1 server:make_app
  riata run -c 'import asyncio; asyncio.run(asyncio.sleep(1))'
  riata run --legacy written_for_python_3.5.py
  riata run --reload --debug server.py
  riata run --watchdog 0.5 server.py
  riata run --profile crawl.py
  riata run -X dev -W error server.py
  generate-program | riata run - ARG
"""
PROGRAM: Final = "[-m MODULE | SCRIPT | -c CODE] [ARG]..."

# Python's own long options; any other is a mistake that would be found too late.
_PYTHONS_LONG: Final = {"--check-hash-based-pycs", "--help-all", "--help-env", "--help-xoptions", "--version"}


def _seconds(_ctx: click.Context, _param: click.Parameter, seconds: float | None) -> float | None:
    """See that a time is one to wait for."""
    if seconds is not None and not 0 < seconds < math.inf:
        raise click.BadParameter(f"{seconds} is no number of seconds above 0")
    return seconds


def _writable(_ctx: click.Context, _param: click.Parameter, place: str | None) -> str | None:
    """See that a profile could be written, before a program runs for an hour."""
    if place not in (None, "-"):
        file = Path(place)
        if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
            raise click.BadParameter(f"{place!r} cannot be written")
    return place


def _files(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Have the shell complete names of files."""
    return [CompletionItem(incomplete, type="file")]


class Program(click.Command):
    """A command whose own options come first; what follows is Python's, and the program's."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete options as long as they are the command's own."""
        if ctx.params.get("arguments"):
            return [CompletionItem(incomplete, type="file")]
        return super().shell_complete(ctx, incomplete)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep click's hands off everything behind the command's own options."""
        own, rest = self._split(ctx, args)
        if rest and rest[0].startswith("--") and rest[0] != "--" and rest[0] not in _PYTHONS_LONG:
            names = [name for option in self.get_params(ctx) for name in option.opts]
            name = rest[0].partition("=")[0]
            raise click.NoSuchOption(name, possibilities=get_close_matches(name, names), ctx=ctx)
        return super().parse_args(ctx, [*own, "--", *rest])

    def _split(self, ctx: click.Context, args: list[str]) -> tuple[list[str], list[str]]:
        parameters = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        options = {name: option for option in parameters for name in option.opts}
        own: list[str] = []
        rest = list(args)
        while rest and (option := options.get(rest[0].partition("=")[0])) is not None:
            word = rest.pop(0)
            if isinstance(option.flag_value, str) and not option.is_flag and "=" not in word:
                word = f"{word}={option.flag_value}"  # its value cannot be the next word: that is the program
            own.append(word)
            if not option.is_flag and "=" not in word:
                if not rest:
                    raise click.BadOptionUsage(word, f"Option {word!r} requires an argument.", ctx)
                own.append(rest.pop(0))
        return own, rest


@click.command(
    cls=Program,
    options_metavar="[OPTIONS] [PYTHON OPTIONS]",
    short_help="Run a program on riata's loop.",
    epilog=EXAMPLES,
)
@click.option("--legacy", is_flag=True, help="Give back what Python took away from asyncio since 3.4.")
@click.option("--debug", is_flag=True, help="asyncio's debug mode, as PYTHONASYNCIODEBUG=1.")
@click.option("--no-primitives", is_flag=True, help="Install the loop alone: gather, sleep and the like are asyncio's.")
@click.option(
    "--watchdog",
    type=float,
    callback=_seconds,
    metavar="SECONDS",
    help="Report on stderr what holds the loop for longer, while it does: stack, task, and where that was made.",
)
@click.option(
    "--unblock",
    is_flag=True,
    help="Have blocking calls in coroutines (requests.get, time.sleep) suspend their task alone: riata[gevent].",
)
@click.option("--reload", is_flag=True, help="Start again when a Python file below this folder changes.")
@click.option(
    "--profile",
    is_flag=False,
    flag_value="-",
    metavar="[=FILE]",
    callback=_writable,
    help="Profile the main thread with cProfile: a table on stderr, or FILE for pstats.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar=PROGRAM, shell_complete=_files)
def run(arguments: tuple[str, ...], reload: bool, **options: object) -> None:
    """Run a program on riata's loop, otherwise exactly as `python` would.

    SCRIPT is a file, a directory or zip file with a __main__.py, or - for standard input. Behind riata's options may
    stand Python's own (`python --help` lists them); options after the program are the program's.

    Python programs that it starts as new processes run on asyncio's loop, unless started with `riata run` again.
    """
    command = CommandLine.parse(arguments)
    if not command.program:
        raise click.UsageError("name a program to run: -m MODULE, SCRIPT or -c CODE")
    try:
        if reload:
            from riata.cli.reload import run_again

            raise click.exceptions.Exit(run_again(command, options))
        replace_process(command, options)
    except StartError as error:
        raise click.ClickException(str(error)) from None


@click.command(
    cls=Program,
    options_metavar="[OPTIONS] [PYTHON OPTIONS]",
    short_help="Compare asyncio, uvloop and riata.",
    epilog="""\b
Examples:
  riata compare crawl.py --depth 3
  riata compare --rounds 7 -m my_benchmark
""",
)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="How often each loop runs it.")
@click.option("--show", is_flag=True, help="Let the program's output through, which is thrown away otherwise.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar=PROGRAM, shell_complete=_files)
def compare(arguments: tuple[str, ...], rounds: int, show: bool) -> None:
    """Run the same program on asyncio, on uvloop if it is installed, and on riata, and compare what it takes.

    Wall clock, CPU time, memory and context switches of the program's process and of children that it waited for.
    A program that fails on each of them is run once. Ends with status 1 if it failed on any.
    """
    from riata.cli.compare import compare

    compare(arguments, rounds, show)
