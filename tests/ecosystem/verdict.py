"""Holds a suite on riata against the same suite on asyncio, test by test."""

from __future__ import annotations

from dataclasses import dataclass, field

from .runner import Outcome, Result

GOOD = frozenset({"passed", "xfailed"})


@dataclass
class Verdict:
    """What the comparison of one suite says.

    Attributes:
        name: the suite's.
        asyncio: what came of it there.
        riata: what came of it there.
        broken: ids that asyncio passes and riata does not, with what riata's run said.
        missing: ids that only one of the two collected.
        trouble: what else makes the comparison worthless.
        unsteady: ids that failed on riata among all the others, but alone passed every time or failed on asyncio too,
            with how they fared.
    """

    name: str
    asyncio: Result
    riata: Result
    broken: dict[str, str] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    trouble: list[str] = field(default_factory=list)
    unsteady: dict[str, str] = field(default_factory=dict)
    _again: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether riata fails nothing that asyncio passes."""
        return not (self.broken or self.missing or self.trouble)

    def note_again(self, test: str, asyncio: Result, riata: Result) -> None:
        """Remember how a broken test fared when it was run again, alone."""
        absent = Outcome("not run")
        kinds = (asyncio.outcomes.get(test, absent).kind, riata.outcomes.get(test, absent).kind)
        self._again.setdefault(test, []).append(kinds)

    def settle(self) -> None:
        """Take out of `broken` what riata passes whenever it is run alone, and what asyncio fails then."""
        for test, times in self._again.items():
            on_riata = all(riata in GOOD for _, riata in times)
            on_asyncio = all(asyncio in GOOD for asyncio, _ in times)
            if on_riata or not on_asyncio:
                fared = ", ".join(f"{asyncio} and {riata}" for asyncio, riata in times)
                self.unsteady[test] = f"{self.broken.pop(test)[-500:]}\nalone, on asyncio and on riata: {fared}"


def judge(name: str, asyncio: Result, riata: Result) -> Verdict:
    """Compare two runs of the same suite."""
    verdict = Verdict(name, asyncio, riata)
    verdict.missing = set(asyncio.collected) ^ set(riata.collected)
    verdict.trouble = [f"on asyncio: {text}" for text in asyncio.trouble] + [
        f"on riata: {text}" for text in riata.trouble
    ]
    if not any(outcome.kind in GOOD for outcome in asyncio.outcomes.values()):
        verdict.trouble.append("no test passes on asyncio")
    if riata.outcomes and not riata.turns:
        verdict.trouble.append("riata's loops made no turn")
    for test, before in asyncio.outcomes.items():
        if before.kind == "strange loop":
            verdict.trouble.append(f"{test}: {before.detail}")
        if before.kind not in GOOD:
            continue
        after = riata.outcomes.get(test)
        if after is None:
            verdict.broken[test] = "was not run"
        elif after.kind not in GOOD:
            verdict.broken[test] = f"{after.kind}: {after.detail}"
        elif before.loops and not after.loops:
            verdict.broken[test] = "made a loop on asyncio and none on riata"
    return verdict
