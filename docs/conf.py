"""Sphinx: `make docs` builds these pages into target/docs."""

project = "riata"
author = "riata's authors"
copyright = "riata's authors"

extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["conf.py"]
# Pages lead to files of the repository, and parts of the README are included, whose links are its own.
suppress_warnings = ["myst.xref_missing", "myst.header"]
html_theme = "furo"
html_title = "riata"
