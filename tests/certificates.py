"""A certificate to serve TLS with, and the contexts of both sides."""

import ssl
import subprocess
from pathlib import Path

_COMMAND = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]


def make_certificate(folder: Path) -> Path:
    """Write a self-signed certificate with its key to a file in `folder`, and the certificate alone beside it.

    Raises:
        FileNotFoundError: there is no `openssl` command.
    """
    path = folder / "both.pem"
    subprocess.run([*_COMMAND, "-keyout", path, "-out", path.with_suffix(".crt")], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


def contexts(certificate: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and the client's."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate)
    client = ssl.create_default_context(cafile=certificate.with_suffix(".crt"))
    client.check_hostname = False
    return server, client
