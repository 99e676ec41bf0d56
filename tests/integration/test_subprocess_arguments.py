"""Every argument of `subprocess.Popen` reaches the child, or is refused as asyncio refuses it."""

import asyncio
import inspect
import os
import signal
import subprocess
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from .recorder import Run

Check = Callable[[Path], Awaitable[None]]
CHECKS: dict[str, Check] = {}
as_root = os.geteuid() == 0


def argument(check: Check) -> Check:
    CHECKS[check.__name__] = check
    return check


async def shell(script: str, **options: Any) -> bytes:
    """What a script writes; it must end well."""
    process = await asyncio.create_subprocess_shell(script, stdout=PIPE, stderr=STDOUT, **options)
    output, _ = await process.communicate()
    assert process.returncode == 0, output
    return output


async def cat(**options: Any) -> Any:
    return await asyncio.create_subprocess_exec("cat", stdin=PIPE, **options)


async def killed(process: Any) -> None:
    process.kill()
    await process.wait()


async def refused(name: str, text: str, *values: Any) -> None:
    loop = asyncio.get_running_loop()
    for value in values:
        with pytest.raises(ValueError, match=f"^{name} {text}"):
            await loop.subprocess_exec(asyncio.SubprocessProtocol, "/bin/true", **{name: value})


@argument
async def args(_: Path) -> None:
    for program in ("sh", b"/bin/sh", Path("/bin/sh")):
        process = await asyncio.create_subprocess_exec(program, "-c", b"exit $1", "", "7")
        assert await process.wait() == 7


@argument
async def bufsize(_: Path) -> None:
    await refused("bufsize", "must be 0", 1, 4096)


@argument
async def executable(_: Path) -> None:
    assert await shell("echo $0", executable="/bin/sh") == b"/bin/sh\n"


@argument
async def stdin(folder: Path) -> None:
    (folder / "in").write_bytes(b"from a file")
    with (folder / "in").open("rb") as file:
        assert await shell("cat", stdin=file) == b"from a file"
    assert await shell("cat", stdin=subprocess.DEVNULL) == b""


@argument
async def stdout(folder: Path) -> None:
    with (folder / "out").open("wb") as file:
        process = await asyncio.create_subprocess_exec("echo", "to a file", stdout=file)
        assert await process.wait() == 0
    assert (folder / "out").read_bytes() == b"to a file\n"


@argument
async def stderr(folder: Path) -> None:
    with (folder / "err").open("wb") as file:
        process = await asyncio.create_subprocess_shell("echo to a file >&2", stderr=file.fileno())
        assert await process.wait() == 0
    assert (folder / "err").read_bytes() == b"to a file\n"
    assert await shell("echo both >&2") == b"both\n"


@argument
async def preexec_fn(folder: Path) -> None:
    await shell("exit 0", preexec_fn=(folder / "marked").touch)
    assert (folder / "marked").exists()


async def sees(fd: int, **options: Any) -> bool:
    return await shell(f"if [ -e /proc/self/fd/{fd} ]; then echo yes; fi", **options) == b"yes\n"


@argument
async def close_fds(_: Path) -> None:
    reader, writer = os.pipe()
    try:
        os.set_inheritable(writer, True)
        assert not await sees(writer)
        assert await sees(writer, close_fds=False)
        assert not await sees(reader, close_fds=False)
    finally:
        os.close(reader)
        os.close(writer)


@argument
async def pass_fds(_: Path) -> None:
    reader, writer = os.pipe()
    try:
        assert await sees(writer, pass_fds=(writer,))
        assert not await sees(reader, pass_fds=(writer,))
        await shell(f"echo passed >/proc/self/fd/{writer}", pass_fds=(writer,))
        assert os.read(reader, 100) == b"passed\n"
    finally:
        os.close(reader)
        os.close(writer)


@argument
async def shell_argument(_: Path) -> None:
    await refused("shell", "must be False", True)


@argument
async def cwd(folder: Path) -> None:
    for path in (folder, str(folder), os.fsencode(folder)):
        assert await shell("pwd -P", cwd=path) == os.fsencode(folder.resolve()) + b"\n"


@argument
async def env(_: Path) -> None:
    assert await shell("echo $A-$B-$HOME", env={"A": "1", "B": "2"}) == b"1-2-\n"


@argument
async def universal_newlines(_: Path) -> None:
    await refused("universal_newlines", "must be False", True)


@argument
async def encoding(_: Path) -> None:
    await refused("encoding", "must be None", "utf-8")


@argument
async def errors(_: Path) -> None:
    await refused("errors", "must be None", "strict")


@argument
async def text(_: Path) -> None:
    await refused("text", "must be False", True)


@argument
async def startupinfo(_: Path) -> None:
    await refused("startupinfo", "is only supported on Windows", object())


@argument
async def creationflags(_: Path) -> None:
    await refused("creationflags", "is only supported on Windows", 1)


@argument
async def restore_signals(_: Path) -> None:
    # Python ignores SIGPIPE, and sets it back for the child unless told not to.
    ignored = "while read name mask; do if [ $name = SigIgn: ]; then echo $mask; fi; done </proc/self/status"
    for restored in (True, False):
        mask = int(await shell(ignored, restore_signals=restored), 16)
        assert bool(mask & 1 << signal.SIGPIPE - 1) is not restored


@argument
async def start_new_session(_: Path) -> None:
    process = await cat(start_new_session=True)
    assert os.getsid(process.pid) == process.pid != os.getsid(0)
    await killed(process)


@argument
async def process_group(_: Path) -> None:
    process = await cat(process_group=0)
    assert os.getpgid(process.pid) == process.pid != os.getpgid(0)
    another = await cat(process_group=process.pid)
    assert os.getpgid(another.pid) == process.pid
    await killed(process)
    await killed(another)


@argument
async def user(_: Path) -> None:
    if as_root:
        assert await shell("id -u; id -g", user=65534) == b"65534\n0\n"
        process = await cat(user=65534)
        process.terminate()  # root may signal it, whoever it is
        assert await process.wait() == -signal.SIGTERM
    else:
        with pytest.raises(PermissionError):
            await shell("id", user=0)
    with pytest.raises(ValueError, match="User ID cannot be negative"):
        await shell("id", user=-1)


@argument
async def group(_: Path) -> None:
    if as_root:
        assert await shell("id -u; id -g", group=65534) == b"0\n65534\n"
    else:
        with pytest.raises(PermissionError):
            await shell("id", group=0)


@argument
async def extra_groups(_: Path) -> None:
    if as_root:
        assert set((await shell("id -G", extra_groups=[65533, 65532])).split()) == {b"0", b"65533", b"65532"}
    else:
        with pytest.raises(PermissionError):
            await shell("id", extra_groups=[0])


@argument
async def umask(_: Path) -> None:
    assert await shell("umask", umask=0o027) == b"0027\n"


@argument
async def pipesize(_: Path) -> None:
    process = await cat(stdout=PIPE, pipesize=4096)
    assert await process.communicate(b"small pipes") == (b"small pipes", None)


CHECKS["shell"] = CHECKS.pop("shell_argument")


@pytest.mark.parametrize("name", CHECKS)
def test_an_argument_of_popen(run: Run, tmp_path: Path, name: str) -> None:
    async def main() -> None:
        await CHECKS[name](tmp_path)

    run(main())


def test_each_is_here() -> None:
    assert CHECKS.keys() == inspect.signature(subprocess.Popen).parameters.keys()
