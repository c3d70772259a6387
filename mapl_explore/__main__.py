"""Run the command line: ``python -m mapl_explore`` is ``mapl-explore``."""

import sys

from mapl_explore.cli import main

sys.exit(main())
