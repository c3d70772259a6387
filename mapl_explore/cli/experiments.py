"""The commands ``compare`` and ``ledger``, and their options."""

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from mapl_explore.cli.outputs import add_overwrite, require_new


def add_compare(commands: argparse._SubParsersAction) -> None:
    """Add ``compare`` to the commands of the command line."""
    from mapl_explore.models.choices import DEVICES

    text = "Fine-tune the arms of a plan under several seeds, and compare them question by question."
    example = "mapl-explore compare plan.toml --output runs/compared --dry-run"
    parser = commands.add_parser("compare", help=text, description=text, example=example)
    add = parser.add_argument
    add("plan", metavar="PLAN.toml", help="baseline, seeds, lr, [common] settings of finetune, and [arms.NAME]")
    add("--output", required=True, metavar="DIR", help="the folder of the runs and reports; several plans may share it")
    add("--jobs", type=int, default=1, metavar="N", help="runs at a time")
    text = "most sets, or prompts to respond to, in one pass, in place of what the plan says"
    add("--batch-size", type=int, metavar="N", help=text)
    add("--device", choices=DEVICES, help="where to compute, in place of what the plan says")
    add("--dry-run", action="store_true", help="say how many runs it takes, how long and how much disk; do nothing")
    parser.set_defaults(
        run=_compare, after_interrupt=lambda _: "; the same command goes on with the runs that are left"
    )


def add_ledger(commands: argparse._SubParsersAction) -> None:
    """Add ``ledger`` to the commands of the command line."""
    text = "Make a table of claims: what each says, how a plan tests it, and what came of it."
    example = "mapl-explore ledger experiments --reports runs/evidence --output LEDGER.md"
    parser = commands.add_parser("ledger", help=text, description=text, example=example)
    add = parser.add_argument
    add("folder", metavar="DIR", help="plans with [[claims]], and their results in a folder results")
    add("--reports", metavar="DIR", help="first record what compare has reported there, the --output that it had")
    add("--output", metavar="FILE", help="where the ledger is written, as Markdown; it is printed if not given")
    add_overwrite(parser, "FILE")
    parser.set_defaults(run=_ledger)


def _ledger(arguments: argparse.Namespace) -> None:
    from mapl_explore.experiments.ledger import ledger_of, record
    from mapl_explore.files import write_or_print

    require_new("--output", arguments.output, arguments)
    if arguments.reports:
        for file in record(arguments.folder, arguments.reports):
            print(f"recorded in {file}", file=sys.stderr)
    write_or_print(ledger_of(arguments.folder), arguments.output)
    if arguments.output is not None:
        print(f"written to {arguments.output}")


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Take SIGTERM, by which batch systems end a job, for ctrl-C: the processes of the runs end, too."""
    if threading.current_thread() is not threading.main_thread():  # Python lets this one alone take signals
        yield
        return
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def _compare(arguments: argparse.Namespace) -> None:
    from mapl_explore.experiments.comparison import compared, workbench
    from mapl_explore.experiments.outlook import outlook
    from mapl_explore.files import counted, whole_number

    place: dict[str, Any] = {"device": arguments.device, "batch_size": arguments.batch_size}
    if arguments.dry_run:
        jobs = whole_number("jobs", arguments.jobs, 1)
        print(outlook(workbench(arguments.plan, arguments.output, **place), jobs))
        return
    with _terminated_as_interrupted():
        found = compared(arguments.plan, output=arguments.output, jobs=arguments.jobs, **place)
    print(found.table)
    print(f"written to {found.folder}")
    if found.failures:
        sys.stdout.flush()
        raise RuntimeError(f"{counted(len(found.failures), 'run')} failed; the same command tries them again")
