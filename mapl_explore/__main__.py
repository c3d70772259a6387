"""Run the command line: ``python -m mapl_explore`` and ``mapl-explore`` are the same."""

import os
import sys


def main() -> int:
    """Run one command and return its exit code; ctrl-C while the program loads is a word and 130, as later on."""
    try:
        from mapl_explore.cli.main import main

        return main()
    except KeyboardInterrupt:
        print("\nmapl-explore: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    # python -m puts this folder first: a file json.py of the user's would stand in for Python's own.
    if sys.path[:1] == [os.getcwd()]:
        sys.path.append(sys.path.pop(0))
    sys.exit(main())
