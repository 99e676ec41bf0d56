"""Where the programs of servers are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def program(name: str) -> str | None:
    """Where a program is, also where Debian keeps those of PostgreSQL; None if it is nowhere."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name, path=os.pathsep.join([*map(str, folders), os.environ.get("PATH", os.defpath)]))
