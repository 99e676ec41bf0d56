"""Starts a fresh interpreter on riata's loop, in place of this process.

Running a program inside the interpreter that parsed our command line can only come close to what
`python` does: our frames stay under the program's (`inspect.stack()`, asyncio's debug tracebacks,
`stacklevel`), `__main__` is already taken, and Ctrl-C, `-i`, `-X` and a zip file each need imitating.
So nothing is imitated: `exec` puts `python` itself in place of this process, with the same process id
and the same open files. All that is added is one folder at the head of PYTHONPATH, whose
`sitecustomize` (see `boot`) installs the loop and takes away every trace of itself before the
program's first line.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Never, Self

BOOT: Final = str(Path(__file__).with_name("boot"))
# What PYTHONPATH was, where it was set; `boot/sitecustomize.py` puts it back.
KEPT: Final = "RIATA_RUN_PYTHONPATH"
# What `riata run` was asked for: names, and `name=value`.
OPTIONS: Final = "RIATA_RUN_OPTIONS"

SEPARATOR: Final = "\x1f"

# Options that keep `sitecustomize` from being looked for on PYTHONPATH.
_WITHOUT_BOOT: Final = {
    "E": "-E ignores PYTHONPATH",
    "I": "-I ignores PYTHONPATH",
    "S": "-S leaves out site-packages",
}
_NAMES_PROGRAM: Final = frozenset("cm")
_TAKES_VALUE: Final = frozenset("JWX")
_LONG_WITH_VALUE: Final = "--check-hash-based-pycs"


class StartError(Exception):
    """The program cannot be started on riata's loop; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class CommandLine:
    """The arguments of a `python` command, split where CPython's own parser would split them.

    The grammar is that of `_PyOS_GetOpt` (Python/getopt.c): short options may share a word, and the
    first `-c`, `-m` or word that is no option begins the program.
    """

    options: tuple[str, ...]
    """What goes to the interpreter, without the program."""
    letters: frozenset[str]
    """The short options among them."""
    program: tuple[str, ...]
    """What names the program, and its arguments; empty where none is named."""

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        """Split `arguments`, which do not include the interpreter's name."""
        options: list[str] = []
        letters: set[str] = set()
        rest = list(arguments)
        while rest and rest[0].startswith("-") and rest[0] != "-":
            word = rest.pop(0)
            if word == "--":
                rest = [word, *rest] if rest else []
                break
            if word.startswith("--"):
                options += [word, *_value(rest, word == _LONG_WITH_VALUE)]
                continue
            for at, letter in enumerate(word[1:], start=1):
                if letter in _NAMES_PROGRAM:
                    options += ["-" + word[1:at]] * (at > 1)
                    return cls(tuple(options), frozenset(letters), ("-" + word[at:], *rest))
                letters.add(letter)
                if letter in _TAKES_VALUE:
                    options += [word, *_value(rest, at + 1 == len(word))]
                    break
            else:
                options.append(word)
        return cls(tuple(options), frozenset(letters), tuple(rest))


def _value(rest: list[str], separate: bool) -> list[str]:
    """Take an option's value off `rest` where it is a word of its own."""
    return [rest.pop(0)] if separate and rest else []


def replace_process(command: CommandLine, options: Mapping[str, object]) -> Never:
    """Become `python` running `command`, with riata installed as `options` of `riata run` say. Does not return.

    Raises:
        StartError: an option keeps the loop from being installed, or there is no interpreter to start.
        OSError: the kernel refused to execute the interpreter.
    """
    arguments, environment = started_by(command, options)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, arguments, environment)


def started_by(command: CommandLine, options: Mapping[str, object]) -> tuple[list[str], dict[str, str]]:
    """What starts `command` as `options` say: the words, the interpreter first, and the environment.

    The options that this interpreter itself was started with (`python -u -m riata run …`) hold for
    the program too.

    Raises:
        StartError: an option keeps the loop from being installed, or there is no interpreter to start.
    """
    own = CommandLine.parse(sys.orig_argv[1:])
    for letter, reason in _WITHOUT_BOOT.items():
        if letter in own.letters | command.letters:
            raise StartError(f"{reason}, and with it riata's loop; -s and -P work")
    if not sys.executable:
        raise StartError("sys.executable is empty: the interpreter does not know where it is")
    if os.pathsep in BOOT:
        raise StartError(f"PYTHONPATH cannot hold {BOOT!r}, where riata is installed: there is a {os.pathsep!r} in it")
    return [sys.executable, *own.options, *command.options, *command.program], _environment(options)


def words(options: Mapping[str, object]) -> str:
    """The options that were given, for `riata._program`: names and `name=value`, with `SEPARATOR` between."""
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    return SEPARATOR.join(name if value is True else f"{name}={value}" for name, value in given.items())


def _environment(options: Mapping[str, object]) -> dict[str, str]:
    """This process's environment with `BOOT` at the head of PYTHONPATH."""
    environment = {**os.environ, OPTIONS: words(options)}
    if options.get("debug"):
        environment["PYTHONASYNCIODEBUG"] = "1"
    path = environment.get("PYTHONPATH")
    if path is None:
        environment.pop(KEPT, None)
    else:
        environment[KEPT] = path
    # An empty PYTHONPATH means none, but an empty part of one means the current folder.
    environment["PYTHONPATH"] = f"{BOOT}{os.pathsep}{path}" if path else BOOT
    return environment
