"""The servers that Debian has: which are missing, and installing them where that is allowed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

from .find import program

SERVERS = {"postgresql": ["initdb", "postgres", "pg_isready"], "redis-server": ["redis-server", "redis-cli"]}
"""The programs that are needed, by the package that has them."""


def _missing() -> list[str]:
    return [name for name, programs in SERVERS.items() if any(program(one) is None for one in programs)]


def install_missing(news: Callable[[str], None]) -> list[str]:
    """Install what is missing, as root on a Debian; return the packages that are missing still."""
    missing = _missing()
    if not missing or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return missing
    news(f"installing {' '.join(missing)} ...")
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
        if subprocess.run(["apt-get", "-q", *command], env=environment, **quiet).returncode:
            break
    return _missing()
