"""Installs riata's loop in an interpreter that `riata run` started, then is gone.

`site` imports this before the program begins, because `riata run` put this folder at the head of
PYTHONPATH. The program and its children must see what they would see under `python`: so the path,
the environment and `sys.modules` are put back first, and the `sitecustomize` that this one
stands in front of is imported last.
"""

import importlib
import os
import sys

# None in a subinterpreter: its path is that with which the process began, but the environment was put back by then.
_options = os.environ.pop("RIATA_RUN_OPTIONS", None)
if _options is not None:
    _kept = os.environ.pop("RIATA_RUN_PYTHONPATH", None)
    if _kept is None:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = _kept
_boot = os.path.dirname(__file__)
sys.path[:] = [entry for entry in sys.path if entry != _boot]
sys.path_importer_cache.pop(_boot, None)
del sys.modules[__name__]

try:
    if _options is not None:
        from riata._program import prepare

        prepare(_options)
except BaseException:
    # `site` reports an error here and goes on: the program would run on asyncio's loop, unnoticed.
    import traceback

    traceback.print_exc()
    sys.stderr.write("riata run: the loop could not be installed\n")
    sys.stderr.flush()
    os._exit(1)

# Absent on most machines: the ImportError is then what `site` expects of a missing sitecustomize.
importlib.import_module("sitecustomize")
