"""pytest's side of `make switching`: leaves out what cannot hold there, and sees that greenlets were switched."""

import pytest
from tests.switching import partner

LEFT_OUT = {
    "test_cli.py::test_the_installed_command": "no command is installed beside the debug build",
    "test_cli_commands.py::test_what_is_completed": "no command is installed beside the debug build",
    "test_cli_completion.py": "no command is installed beside the debug build",
    "test_gevent_chosen.py::test_programs_without_gevent_do_not_import_it": "the partner imports greenlet",
    "test_gevent_waking.py::test_who_traces_switches_sees_those_to_the_hub[riata]": "lists all switches",
    "test_gevent_waking.py::test_watchers_of_each_iteration_are_told_in_the_hub[riata]": (
        "an idle watcher is told when nothing is due, and a timer of 0.1 ms always is, as slow as this is"
    ),
    "test_gevent_asyncio.py::test_what_is_due_overtakes_a_batch_whose_steps_wait_in_gevent": (
        "a timer of 1 ms is to be due later than ten tasks begin"
    ),
    "test_dropping_a_long_chain_of_futures.py": "so many calls that it takes minutes",
    "test_cancel_of_a_long_chain_of_tasks.py": "so many calls that it takes minutes",
    "test_long_chains.py": "so many calls that it takes minutes",
}
"""Tests by the ends of their files' names and their own, and why they cannot hold here."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if any(name in item.nodeid for name in LEFT_OUT)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not partner.count() and session.testscollected:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"greenlets were switched {partner.count()} times")
