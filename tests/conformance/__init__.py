"""Runs CPython's own asyncio tests with riata in the places where asyncio's classes stood.

The tests are those that ship with the interpreter (`test.test_asyncio`); none are copied here. Who does what:

`plan`          which test files there are, in which variants each one runs, and why some never can
`child`         one test file in a process of its own, reporting test by test
`substitution`  inside the child: riata's loop, Task and Future put where asyncio's were
`fake_time`     inside the child: a loop of riata's whose clock a test drives
`standin`       asyncio's own classes under other names, to test this machinery without riata
`runner`        starts the children, survives a hang or a crash in any of them
`baseline`      what asyncio itself passes, recorded for each Python version
`expectations`  the tests riata is not expected to pass, each with its reason
`verdict`       compares what happened with both
`session`       all that for one interpreter: what the command line and the pytest items share
`table`         prints it
"""
