"""Soak a loop: everything it can do, mixed at random from a printed seed, for as long as it is told to.

After every round each job must have ended in one of the ways it may, nothing that was sent may be lost or changed, and
descriptors, children, tasks and memory must be back where they were. `make soak ARGS="--seconds 600 --seed 7"`.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import logging
import sys
import tempfile
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from random import SystemRandom
from typing import Any

from ..conftest import LOOPS
from .resources import Held
from .rounds import Soak
from .surroundings import surroundings
from .verdict import MIBIBYTE, problems

ROUNDS = 8
"""The first ones warm up; memory is held against what there is half-way."""

STUCK = 300.0
"""Seconds beyond those asked for after which every thread's stack is printed and the process ends."""


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="how long; default: 120")
    parser.add_argument("--seed", type=int, help="what to draw from; default: another each time, which is printed")
    parser.add_argument("--loop", choices=list(LOOPS), default="riata", help="what to soak; default: riata")
    parser.add_argument("--at-once", type=int, default=40, help="jobs at a time; default: 40")
    parser.add_argument("--debug", action="store_true", help="in asyncio's debug mode")
    return parser.parse_args(argv)


async def _soak(arguments: argparse.Namespace, seed: int, folder: Path) -> list[str]:
    told: list[str] = []

    def handle(_: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        told.append(context["message"] + "\n" + "".join(traceback.format_exception(error) if error else []))

    asyncio.get_running_loop().set_exception_handler(handle)
    quiet: list[Held] = []
    async with surroundings(folder) as around:
        soak = Soak(around, seed, arguments.at_once)
        for number in range(ROUNDS):
            now = await soak.round(arguments.seconds / ROUNDS)
            quiet.append(now)
            print(
                f"round {number}: {soak.ledger.started.total():>7} jobs, {len(now.descriptors)} descriptors, "
                f"{now.threads} threads, {now.blocks} blocks, {now.resident / MIBIBYTE:.1f} MiB",
                flush=True,
            )
            if soak.ledger.failures:
                break
    print("\n".join(soak.ledger.lines()))
    print(f"{around.connections.made} connections")
    return problems(soak.ledger, quiet, told)


def main(argv: Sequence[str] | None = None) -> int:
    """Soak as the arguments say; 1 if anything was not as it must be."""
    arguments = _arguments(argv)
    seed = SystemRandom().randrange(2**32) if arguments.seed is None else arguments.seed
    print(f"soaking {arguments.loop} for {arguments.seconds:g} seconds, seed {seed}", flush=True)
    faulthandler.dump_traceback_later(arguments.seconds + STUCK, exit=True)
    warnings.simplefilter("error")
    unraisable: list[str] = []
    sys.unraisablehook = lambda told: unraisable.append(f"{told.err_msg} {told.object!r}: {told.exc_value!r}")
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # "socket.send() raised" is what a hang-up brings about
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        with asyncio.Runner(loop_factory=LOOPS[arguments.loop], debug=arguments.debug) as runner:
            found = runner.run(_soak(arguments, seed, Path(folder)))
    found += [f"an error that nobody could be told of: {text}" for text in unraisable]
    for problem in found:
        print(f"PROBLEM (seed {seed}): {problem}")
    print("nothing was lost" if not found else f"{len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
