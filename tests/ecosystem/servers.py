"""PostgreSQL and Redis of Debian's packages, each started in a folder of its own on a port that was free."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import trustme

from .find import program

START_LIMIT = 30.0
"""Seconds a server may take to answer."""


@dataclass(frozen=True)
class Server:
    """Where a server listens.

    Attributes:
        host: its address.
        port: its TCP port.
        tls_port: another one that speaks TLS from the first byte; 0 where the server upgrades on its plain port.
        socket: its Unix socket.
        ca: the certificate that its own is signed by.
    """

    host: str
    port: int
    tls_port: int
    socket: Path
    ca: Path


def needed(name: str) -> str:
    """Where a program is without which nothing goes on.

    Raises:
        FileNotFoundError: it is nowhere.
    """
    found = program(name)
    if found is None:
        raise FileNotFoundError(name)
    return found


def free_port() -> int:
    """A TCP port that nothing listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder with a certificate for `localhost` in it, which the servers' own user may enter."""
    with tempfile.TemporaryDirectory(prefix="ecosystem-", dir="/tmp") as name:  # short: Unix sockets are made in it
        folder = Path(name)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
        certificate.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
        (folder / "key.pem").chmod(0o600)
        yield folder


@contextlib.contextmanager
def _running(command: list[str], folder: Path, answers: list[str], *, user: str | None = None) -> Iterator[None]:
    """Run a server until the block ends; it is ready once the command `answers` succeeds."""
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, user=user
        )
        try:
            deadline = time.monotonic() + START_LIMIT
            while subprocess.run(answers, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} does not answer:\n{log.read_text()}")
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def postgresql() -> Iterator[Server]:
    """A PostgreSQL with an empty database `test` of the user `test`, who needs no password; TLS on the same port."""
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    initdb, postgres = needed("initdb"), needed("postgres")
    with _folder() as folder:
        if user is not None:
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, user)
        data, port = folder / "data", free_port()
        subprocess.run(
            [initdb, "--auth=trust", "--username=test", "--no-sync", "--encoding=UTF8", "--locale=C", "-D", str(data)],
            check=True, cwd=folder, user=user, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        settings = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": folder,
            "ssl": "on",
            "ssl_cert_file": folder / "cert.pem",
            "ssl_key_file": folder / "key.pem",
            "fsync": "off",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        answers = [needed("pg_isready"), "-h", str(folder), "-p", str(port)]
        with _running([postgres, "-D", str(data), *options], folder, answers, user=user):
            yield Server("127.0.0.1", port, 0, folder, folder / "ca.pem")


@contextlib.contextmanager
def redis() -> Iterator[Server]:
    """An empty Redis that keeps nothing."""
    server = needed("redis-server")
    with _folder() as folder:
        port, tls_port, path = free_port(), free_port(), folder / "redis.sock"
        settings = {
            "bind": "127.0.0.1",
            "port": port,
            "tls-port": tls_port,
            "tls-cert-file": folder / "cert.pem",
            "tls-key-file": folder / "key.pem",
            "tls-auth-clients": "no",
            "unixsocket": path,
            "save": "",
            "dir": folder,
        }
        options = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
        with _running([server, *options], folder, [needed("redis-cli"), "-s", str(path), "ping"]):
            yield Server("127.0.0.1", port, tls_port, path, folder / "ca.pem")
