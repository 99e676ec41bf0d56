"""How gevent comes to run on riata's loop, and when it does not."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("gevent")

WHICH = "import gevent; print(type(gevent.get_hub().loop).__module__)"
RIATA = "riata.gevent.core"


def output(*arguments: str, **variables: str) -> str:
    """What a Python program prints."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("GEVENT", "PYTHON"))}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, env=environment | variables, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()


def test_by_the_environment() -> None:
    assert output("-c", WHICH, GEVENT_LOOP="riata.gevent.Loop") == RIATA


def test_by_the_program() -> None:
    assert output("-c", f"import riata.gevent; riata.gevent.install(); {WHICH}") == RIATA
    assert output("-c", f"import gevent, riata.gevent; riata.gevent.install(); {WHICH}") == RIATA


def test_too_late() -> None:
    late = "import gevent; gevent.get_hub(); import riata.gevent; riata.gevent.install()"
    program = f"try:\n exec({late!r})\nexcept RuntimeError as error:\n print(error)"
    assert "before its first use" in output("-c", program)


def test_by_riata_run() -> None:
    assert output("-m", "riata", "run", "-c", WHICH) == RIATA
    assert output("-m", "riata", "run", "-c", "from gevent import monkey; monkey.patch_all(); " + WHICH) == RIATA


def test_what_the_user_chose_holds_under_riata_run() -> None:
    assert "libev" in output("-m", "riata", "run", "-c", WHICH, GEVENT_LOOP="libev-cext")
    chosen = "import gevent; gevent.config.loop = 'libev-cext'; "
    assert "libev" in output("-m", "riata", "run", "-c", chosen + WHICH)


def test_programs_without_gevent_do_not_import_it() -> None:
    program = "import riata, sys; print('gevent' in sys.modules, 'greenlet' in sys.modules)"
    assert output("-m", "riata", "run", "-c", program) == "False False"
    # Whoever looks where it is, finds what is there without riata too.
    where = "import gevent._config as it; print(it.__loader__ is it.__spec__.loader, type(it.__loader__).__name__)"
    assert output("-m", "riata", "run", "-c", where) == output("-c", where)


def test_children_of_riata_run_choose_for_themselves() -> None:
    program = f"import gevent, subprocess, sys; print(subprocess.check_output([sys.executable, '-c', {WHICH!r}]))"
    assert "libev" in output("-m", "riata", "run", "-c", program)
