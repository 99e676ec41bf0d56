"""Echo servers of every kind under a compiled program's load; a bare epoll server in Rust is the floor."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benches.measure import Measure, run, served


@dataclass(frozen=True)
class Tools:
    """The compiled programs, and a certificate."""

    echo_load: Path
    udp_load: Path
    tls_load: Path
    echo_server: Path
    certificate: Path


def make_certificate(folder: Path) -> Path:
    """A self-signed certificate with its key in `folder`, and the certificate alone, in DER, beside it."""
    path = folder / "both.pem"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    leaf = ["-addext", "basicConstraints=critical,CA:FALSE"]
    command = ["openssl", "req", "-x509", "-days", "2", *key, *names, *leaf, "-out", folder / "one.pem"]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + (folder / "one.pem").read_bytes())
    convert = ["openssl", "x509", "-in", path, "-outform", "der", "-out", path.with_suffix(".der")]
    subprocess.run(convert, check=True, capture_output=True)
    return path


def echo(tools: Tools, kind: str, connections: int, size: int, messages: int, *, tls: bool = False) -> Measure:
    """A measurement of an echo server, an operation being a message of `size` bytes there and back."""

    def server(loop: str) -> list[object]:
        if loop == "floor":
            return [tools.echo_server]
        secure = ["--tls", tools.certificate] if tls else []
        return [sys.executable, "-m", "benches.echo", loop, kind, *secure]

    def load(port: str) -> int:
        trusted = [tools.certificate.with_suffix(".der")] if tls else []
        program = tools.tls_load if tls else tools.udp_load if kind == "udp" else tools.echo_load
        run([program, *trusted, f"127.0.0.1:{port}", connections, size, messages])
        return messages

    return served(server, load)


def cases(tools: Tools, count: int, *, quick: bool) -> dict[str, Measure]:
    """Every kind with 1, 64 and 1,000 connections, 1, 10 and 100 KiB; or a few of them."""
    found: dict[str, Measure] = {}
    kinds = [("protocol", False), ("streams", False), ("sock", False), ("protocol", True), ("streams", True)]
    for kind, tls in kinds:
        for connections in (64,) if quick else (1, 64, 1000):
            for kib in (1, 100) if quick else (1, 10, 100):
                messages = max(2 * connections, 1000, count // 2 // (1 + kib // 4) // (3 if tls else 1))
                name = f"{kind}{' over TLS' if tls else ''}, {connections:,} x {kib} KiB"
                found[name] = echo(tools, kind, connections, kib * 1024, messages, tls=tls)
    for sockets in (64,) if quick else (1, 64):
        found[f"UDP, {sockets} x 1 KiB"] = echo(tools, "udp", sockets, 1024, count // 2)
    return found
