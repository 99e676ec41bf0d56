"""The command `riata`.

This file owns the list of commands. `program` has those that start programs (with `interpreter`, `reload` and `compare`
behind them), `doctor` and `completion` one each.
"""

import platform

import click

from riata.cli.completion import completion
from riata.cli.doctor import doctor
from riata.cli.program import EXAMPLES, compare, run

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXAMPLES)
@click.version_option(
    package_name="riata",
    message=f"riata %(version)s ({platform.python_implementation()} {platform.python_version()})",
)
def main() -> None:
    """An asyncio event loop in Rust, for programs as they are."""


for command in (run, compare, doctor, completion):
    main.add_command(command)
