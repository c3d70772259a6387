"""The command ``site``, and its options."""

import argparse
from pathlib import Path


def add_site(commands: argparse._SubParsersAction) -> None:
    """Add ``site`` to the commands of the command line."""
    text = "Write the course as a folder of files that runs in the browser, with nothing to install."
    example = "mapl-explore site build/lite"
    parser = commands.add_parser("site", help=text, description=text, example=example)
    parser.add_argument("output", metavar="OUT", type=Path, help="a new folder, or an empty one")
    parser.set_defaults(run=_site, extra="site")


def _site(arguments: argparse.Namespace) -> None:
    from mapl_explore.serving.site import build_site

    build_site(arguments.output)
    print(f"written to {arguments.output}; python3 -m http.server -d {arguments.output} serves it")
