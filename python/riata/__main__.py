"""`python -m riata`: the command line under another name."""

from riata.cli import main

if __name__ == "__main__":
    main(prog_name="python -m riata")
