"""Runs gevent's own tests, those of the installed package, on libev and on riata, and compares."""
