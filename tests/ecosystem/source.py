"""Brings a suite's source, checks that it is the one that is pinned, and lays out a copy to run the tests in."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from .suites import Suite


class SourceError(Exception):
    """The source cannot be had here, or is not what is pinned."""


def source(suite: Suite, store: Path, copy_for: str) -> Path:
    """Return a fresh copy of the suite's source, less what would be imported in place of what is installed.

    Args:
        suite: whose.
        store: a folder in which archives and copies are kept from run to run.
        copy_for: names the copy: runs at the same time have one each.

    Raises:
        SourceError: it cannot be had here, or is not what is pinned.
    """
    archives = store / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    archive = archives / f"{suite.name}-{suite.version}.tar.gz"
    if not archive.exists():
        brought = _from_debian(suite, archives) if suite.origin == "debian" else _sdist(suite, archives)
        brought.rename(archive)
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != suite.sha256:
        archive.rename(archive.with_suffix(".refused"))
        raise SourceError(f"{archive.name} has the SHA-256 {found}, not the one that is pinned")
    copy = store / "sources" / f"{suite.name}-{copy_for}"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    with tarfile.open(archive) as opened:
        opened.extractall(copy, filter="data")
    (unpacked,) = copy.iterdir()
    for folder in suite.remove:
        shutil.rmtree(unpacked / folder)
    return unpacked


def _sdist(suite: Suite, archives: Path) -> Path:
    folder = archives / f"{suite.name}.new"
    wanted = f"{suite.name}=={suite.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    _run([*command, "--dest", str(folder), wanted])
    return _only_archive(folder)


def _from_debian(suite: Suite, archives: Path) -> Path:
    """The upstream archive that one of Debian's releases keeps, through an apt that knows of nothing else."""
    if shutil.which("apt-get") is None:
        raise SourceError(f"{suite.name}: its sdist has no tests, and there is no apt-get to bring Debian's archive")
    folder = archives / f"{suite.name}.new"
    (folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    sites = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian"],
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    sites = [site for site in dict.fromkeys(sites) if site.endswith("/debian/")]
    if not sites:
        raise SourceError(f"{suite.name}: apt knows of no Debian archive (run apt-get update first)")
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    listed = folder / "sources.list"
    listed.write_text(f"deb-src [signed-by={keys}] {sites[0]} {suite.release} main\n", encoding="utf-8")
    apt = [
        "apt-get", "-q",
        "-o", f"Dir::Etc::sourcelist={listed}", "-o", "Dir::Etc::sourceparts=-",
        "-o", f"Dir::State::lists={folder / 'lists'}", "-o", f"Dir::Cache={folder}",
        "-o", "APT::Sandbox::User=root",
    ]  # fmt: skip
    _run([*apt, "update"])
    _run([*apt, "source", "--download-only", "--tar-only", f"python-{suite.name}"], folder=folder)
    return _only_archive(folder)


def _only_archive(folder: Path) -> Path:
    found = list(folder.glob("*.tar.gz"))
    if len(found) != 1:
        raise SourceError(f"{folder} holds {[one.name for one in found]}, where one archive was expected")
    return found[0]


def _run(command: list[str], folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SourceError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}")
