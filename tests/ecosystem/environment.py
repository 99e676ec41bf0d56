"""A virtual environment for each suite: what it needs, pinned, and the riata that is to be tested."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
INSIDE = FOLDER / "inside"


def environment(name: str, store: Path, wheel: Path) -> Path:
    """Return the interpreter of the environment `name`, made or brought up to date.

    Args:
        name: of a file in `requirements/`.
        store: the folder of the environments of this interpreter.
        wheel: riata's.

    Raises:
        subprocess.CalledProcessError: pip failed; it has said why.
    """
    folder = store / name
    python = folder / "bin" / "python"
    requirements = FOLDER / "requirements" / f"{name}.txt"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    _install(python, requirements, "-r", str(requirements))
    _install(python, wheel, "--no-index", "--no-deps", "--force-reinstall", str(wheel))
    return python


def _install(python: Path, source: Path, *arguments: str) -> None:
    """Run pip unless it was run for the same content before."""
    stamp = python.parent.parent / f"installed-{source.suffix[1:]}"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="ascii") == digest:
        return
    stamp.unlink(missing_ok=True)
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *arguments], check=True)
    stamp.write_text(digest, encoding="ascii")


def variables(loop: str) -> dict[str, str]:
    """The environment variables of a run on `loop`: ours, less what would change how its tests run."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    return {**kept, "ECOSYSTEM_LOOP": loop, "PYTHONPATH": str(INSIDE), "PYTHONDONTWRITEBYTECODE": "1"}
