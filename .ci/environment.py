"""Prints the name of the folder in .venvs/ that belongs to the interpreter running this.

Implementation and version for the reader, then a hash of where the interpreter and the checkout really
are: two interpreters of one version, or one checkout mounted in two places, share nothing.
Ends with a message, before anything is built, where this Python will not do. Kept to the Python that
every version understands, so that an old one can say that it is too old.
"""

import hashlib
import os
import sys

WANTED = (3, 11)


def complaint():
    """What is wrong with this interpreter, or None."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < WANTED:
        return "%s is Python %s; riata needs %d.%d or later: make PYTHON=/path/to/python3.11" % (
            (sys.executable, version) + WANTED
        )
    if sys.implementation.name != "cpython":
        return "%s is %s; riata is an extension of CPython" % (sys.executable, sys.implementation.name)
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return "%s (Python %s) cannot make virtual environments; on Debian: apt-get install python%d.%d-venv" % (
            (sys.executable, version) + tuple(sys.version_info[:2])
        )
    return None


def name():
    """The folder's name: the same whether asked by an interpreter or by a virtual environment of it."""
    places = [os.path.realpath(sys.executable), os.path.realpath(os.getcwd()), sys.version]
    digest = hashlib.sha256("\n".join(places).encode("utf-8", "surrogateescape")).hexdigest()
    return "%s-%s%s-%s" % (sys.implementation.name, ".".join(map(str, sys.version_info[:3])), sys.abiflags, digest[:8])


if __name__ == "__main__":
    problem = complaint()
    if problem:
        sys.exit("make: " + problem)
    print(name())
