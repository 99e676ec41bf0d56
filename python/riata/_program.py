"""Prepares a fresh interpreter for the program that `riata run` starts in it.

`cli/boot/sitecustomize.py` calls this before the program's first line. What is imported here stays imported for the
program: so nothing is but what it asks for, and click least of all.
"""

from __future__ import annotations

import riata


def prepare(options: str) -> None:
    """Install riata as `options` ask for: the words of `riata.cli.interpreter.words`."""
    asked = {name: value for name, _, value in (word.partition("=") for word in options.split())}
    if "legacy" in asked:
        from riata import legacy

        legacy.enable()
    riata.install(primitives="no_primitives" not in asked)
