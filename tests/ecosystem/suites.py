"""The suites of other projects that run here: where each comes from, pinned, and how it is run."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Suite:
    """One project's own tests.

    Attributes:
        name: the project's, as its package and `requirements/NAME.txt` are called.
        version: of the source; the same one is installed into the suite's environment.
        sha256: of the source archive.
        arguments: pytest's, run in a copy of the source.
        origin: `sdist`, or `debian` where the sdist lacks the tests: the upstream archive that Debian keeps.
        remove: folders of the source that would be imported in place of what is installed.
        release: Debian's, that has this version.
        environment: variables for its tests.
    """

    name: str
    version: str
    sha256: str
    arguments: tuple[str, ...]
    origin: str = "sdist"
    remove: tuple[str, ...] = ()
    release: str = ""
    environment: dict[str, str] = field(default_factory=dict)


SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite(
            "aiohttp",
            "3.14.5",
            "5558a7f5a05af9ecf744af91e5baefc436f93c9333e656c27ec253f9a6bbe178",
            # aiohttp's own plugin is loaded by its conftest; coverage and xdist, which its addopts ask for, are not.
            ("tests", "-p", "no:asyncio", "-o", "addopts=-p no:aiohttp",
             "-m", "not dev_mode and not autobahn and not internal"),
            remove=("aiohttp",),
        ),
        Suite(
            "uvicorn",
            "0.54.0",
            "a2e33cbfaa0306f8e6b0c13e0cb89d7d7a2da3e62b90c66e18c33d9807b28620",
            ("tests", "-p", "no:asyncio", "-o", "addopts="),
            remove=("uvicorn",),
        ),
        Suite(
            "websockets",
            "15.0.1",
            "8451495265af3e368f794c4dc15c99ce90c771d95560f542bff8c64b5455af3b",
            # It has no settings for pytest; without `-c` those of the folder above would be taken.
            ("tests", "-p", "no:asyncio", "-p", "no:anyio", "-c", "pyproject.toml", "--rootdir", "."),
            origin="debian",
            remove=("src",),
            release="trixie",
        ),
        Suite(
            "anyio",
            "4.16.0",
            "59bb03251907983d1603d27c3087ddb1e93299ea2163adcdba37899a4fb12ffb",
            # Without the backend trio, which is no business of ours, and without what needs the internet.
            ("tests", "-k", "not trio", "-m", "not network"),
            remove=("src",),
        ),
    )
}  # fmt: skip
