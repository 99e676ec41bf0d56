"""The file of typical use that type checkers read (`make lint`, `make types`) does run."""

import subprocess
import sys
from pathlib import Path


def test_typical_use_runs() -> None:
    program = Path(__file__).parent.parent / "types" / "typical_use.py"
    ended = subprocess.run([sys.executable, "-W", "error", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
