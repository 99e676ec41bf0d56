"""The one warning of each use."""

from __future__ import annotations

import sys
import warnings


def deprecated(what: str, today: str) -> None:
    """Warn that `what` is gone, and that `today` is how it is done; attributed to the program's own line."""
    level = 2
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__")):
        frame = frame.f_back
        level += 1
    # One less: `frame` is the program's, and level 1 is this function.
    warnings.warn(f"{what}: {today}", DeprecationWarning, stacklevel=level)


def _is_ours(module: object) -> bool:
    return isinstance(module, str) and module.split(".", 1)[0] in ("asyncio", "riata")
