"""Has the kernel refuse system calls on one descriptor, as it does when it is short of something.

`refuse(calls, fd, errno)` installs a seccomp filter in the calling process, which cannot be taken back: for programs
in processes of their own. Its text is put in front of theirs.
"""

import platform
import sys

import pytest

FILTER = '''
import ctypes, struct

_NUMBERS = {
    "x86_64": {"accept": 43, "accept4": 288, "sendto": 44, "sendmsg": 46, "sendmmsg": 307, "write": 1, "writev": 20},
    "aarch64": {"accept": 202, "accept4": 242, "sendto": 206, "sendmsg": 211, "sendmmsg": 269, "write": 64,
                "writev": 66},
}
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

def refuse(calls, fd, error):
    """From now on, `calls` (names) on `fd` fail with the errno `error`, in every thread."""
    machine = os.uname().machine
    load, equal, answer = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
    numbers = [_NUMBERS[machine][name] for name in calls]
    rules = [(load, 0, 0, 4), (equal, 1, 0, _ARCHITECTURES[machine]), (answer, 0, 0, 0x7FFF0000), (load, 0, 0, 0)]
    for place, number in enumerate(numbers):
        rules.append((equal, len(numbers) - place, 0, number))  # to the look at the descriptor
    rules += [(answer, 0, 0, 0x7FFF0000), (load, 0, 0, 16), (equal, 0, 1, fd), (answer, 0, 0, 0x00050000 | error)]
    rules.append((answer, 0, 0, 0x7FFF0000))
    code = b"".join(struct.pack("HBBI", *rule) for rule in rules)
    kept = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", len(rules), ctypes.addressof(kept))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert libc.prctl(22, 2, program, 0, 0) == 0, os.strerror(ctypes.get_errno())  # PR_SET_SECCOMP, FILTER

'''

needs_seccomp = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"),
    reason="the filter is written for Linux on x86_64 and aarch64",
)
