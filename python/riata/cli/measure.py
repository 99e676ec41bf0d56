"""Runs a command and writes what it took, as one line, to a descriptor: `python -I -S measure.py FD COMMAND …`.

A process of its own, and a small one: the kernel counts the memory of whoever begins a program to the program's peak.
"""

import os
import sys
import time


def main() -> None:
    """Run the command, wait for it, write its status, seconds of wall clock and CPU, KiB at most, and switches."""
    report, command = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(report, False)
    begun = time.monotonic()
    child = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    wall = time.monotonic() - begun
    switches = usage.ru_nvcsw + usage.ru_nivcsw
    line = f"{status} {wall} {usage.ru_utime + usage.ru_stime} {usage.ru_maxrss} {switches}"
    os.write(report, line.encode())


if __name__ == "__main__":
    main()
