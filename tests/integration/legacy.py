"""Programs that use what Python took away: run in a process of their own, with riata.legacy enabled in each way."""

import subprocess
import sys
from textwrap import dedent

import pytest

# How `enable` and `install` may come together.
WAYS = {
    "asyncio": "riata.legacy.enable()",
    "riata": "riata.install(); riata.legacy.enable(); riata.legacy.enable()",
    "installed afterwards": "riata.legacy.enable(); riata.install(); riata.install()",
    "reinstalled": "riata.install(); riata.legacy.enable(); riata.uninstall(); riata.install()",
    "the loop alone": "riata.install(primitives=False); riata.legacy.enable()",
}
PRELUDE = """
import riata, riata.legacy
WAY
import asyncio, contextlib, os, subprocess, sys, threading, types, warnings

@contextlib.contextmanager
def warned(*texts):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert [w.category for w in caught] == [DeprecationWarning] * len(texts), [str(w.message) for w in caught]
    for warning, text in zip(caught, texts):
        assert text in str(warning.message), warning.message
        assert warning.filename == "<string>", warning.filename

"""
in_each_way = pytest.mark.parametrize("way", list(WAYS.values()), ids=list(WAYS))


def run(way: str, program: str, before: str = "") -> None:
    text = before + PRELUDE.replace("WAY", way) + dedent(program)
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", text], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
