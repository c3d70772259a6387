"""The command line, ``mapl-explore``: arguments in, plain words and an exit code out.

Exit codes: 0 done, 1 the work failed, 2 the user's mistake, 130 interrupted. What a command needs is imported when it
runs, so that ``--help`` does not wait for torch.
"""

import argparse
import contextlib
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, Field, fields, replace
from typing import TYPE_CHECKING, Any

from mapl_explore.cli.course import add_marks
from mapl_explore.cli.data import add_data, add_sample
from mapl_explore.cli.experiments import add_compare, add_ledger
from mapl_explore.cli.outputs import add_overwrite, require_new
from mapl_explore.cli.parsing import Parser, Version
from mapl_explore.cli.scoring import add_import, add_score, add_select, add_tau
from mapl_explore.cli.site import add_site
from mapl_explore.launch import fails_first, first_heard, is_first
from mapl_explore.notes import Note, Refusal
from mapl_explore.words import language, languages

if TYPE_CHECKING:  # each command loads what it needs, and no other
    from mapl_explore.losses import Loss

PAIRS = ("first", "mean", "hardest", "smooth", "mellow")
LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")  # which process this is, and of how many
READERS: dict[Any, Any] = {int: int, int | None: int, float: float, float | None: float}  # of settings that are numbers
BROKEN_PIPE = 141  # 128 + SIGPIPE: what a shell reports where the reader of a program's output has gone


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after the program's name; those of this process if not given.

    Returns
    -------
    int
        0, 1, 2, 130 or 141. A mistake in the arguments themselves exits with 2, and ``--help`` exits with 0.

    Examples
    --------
    >>> main(["tau", "--n", "1", "--gap", "1", "--epsilon", "0.1"])
    2
    """
    arguments = argparse.Namespace(after_interrupt=lambda _: "", extra="train")  # until they are read
    try:
        try:
            _settle_surroundings()
            arguments = _parser().parse_args(argv)
            with first_heard(), _notes_as_lines():
                arguments.run(arguments)
        finally:
            _write_out()
    except KeyboardInterrupt:
        _say(f"\nmapl-explore: interrupted{arguments.after_interrupt(arguments)}")
        return 130
    except BrokenPipeError:  # the reader, such as head, has what it wanted
        return BROKEN_PIPE
    except ModuleNotFoundError as error:
        return _failed(f"{error.name} is not installed: pip install 'mapl_explore[{arguments.extra}]'", code=1)
    except OSError as error:
        known = [error.filename, error.strerror]
        return _failed(": ".join(str(one) for one in known if one) if error.strerror else str(error), code=2)
    except (Refusal, ValueError) as error:
        return _failed(str(error), code=2, notes=getattr(error, "__notes__", ()))
    except (ArithmeticError, ImportError, MemoryError, RuntimeError) as error:
        return _failed(str(error) or type(error).__name__, code=1, notes=getattr(error, "__notes__", ()))
    return 0


def _settle_surroundings() -> None:
    """Prepare for a terminal that lacks signs, and for variables that a launcher left empty."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # and not none, or one that a test or a notebook put there
            stream.reconfigure(errors="backslashreplace")  # in ASCII, tau would end the program
    for name in LAUNCHER:
        value = os.environ.get(name, "0")
        if not value.strip():
            del os.environ[name]  # set to nothing is not set, but accelerate would read it as a number
        elif not value.strip().removeprefix("-").isdecimal():
            raise ValueError(f"{name} must be a whole number, as a launcher sets it, not {value!r}")


@contextlib.contextmanager
def _notes_as_lines() -> Iterator[None]:
    """Print each note as a line of its own, and once; other warnings are shown as usual."""
    show, told = warnings.showwarning, set[str]()

    def shown(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if category is not Note:
            show(message, category, *place, **more)
        elif str(message) not in told:
            told.add(str(message))
            print(f"note: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("default", Note)
        warnings.showwarning = shown
        yield


def _write_out() -> None:
    """Flush the standard output; where that fails, drop what is in it, or Python would try again as it ends."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OSError(error.errno, error.strerror, "the standard output") from None


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="mapl-explore",
        description="See, trust and train with the mathematics of smoothed max-min preference learning.",
        example="mapl-explore tau --n 8 --gap 0.5 --epsilon 0.05",
    )
    parser.set_defaults(after_interrupt=lambda _: "", extra="train")
    parser.add_argument("--version", action=Version, help="show the version, and those of the main packages")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    first = (_add_lab, _add_app, add_site, add_tau, add_select, add_score, _add_finetune, _add_rounds)
    for add in (*first, add_compare, add_ledger, _add_show, _add_pretrain, add_data, add_sample, add_marks):
        add(commands)
    return parser


def _add_lab(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "lab", _lab, "Open the notebooks in JupyterLab, on this machine alone.", "--no-browser")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--teacher", action="store_true", help="with the solutions, where the notebooks are")
    who.add_argument("--student", action="store_true", help="copies without solutions: the default")
    _add_page(parser)


def _add_app(commands: argparse._SubParsersAction) -> None:
    text = "Show the explorers on one page for a projector, without code, on this machine alone."
    parser = _command(commands, "app", _app, text, "--no-browser")
    _add_page(parser)


def _add_page(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that shows a page in the browser."""
    parser.add_argument("--no-browser", action="store_true", help="print the address and open nothing")
    parser.add_argument("--language", choices=languages(), help="of explorers and questions; else MAPL_LANGUAGE's")
    parser.set_defaults(extra="lab")


def _add_finetune(commands: argparse._SubParsersAction) -> None:
    text = "Fine-tune a causal language model with a loss on preference sets; print held-out means before and after."
    example = '--loss "DPO(beta=0.1, pair=Smooth(tau=5.0))" --data sets.jsonl --output runs/first'
    parser = _command(commands, "finetune", _finetune, text, example)
    _add_options(parser, _options())
    parser.set_defaults(after_interrupt=_after_finetune)


def _add_rounds(commands: argparse._SubParsersAction) -> None:
    text = "Sample responses from a model, verify them, train the model on them, and do so again: a line each round."
    example = "prompts.jsonl --loss rloo --verifier world --eval data/world/test.jsonl --steps 8 --output runs/rloo"
    parser = _command(commands, "rounds", _rounds, text, example)
    prompts = next(each for each in _options("rounds") if each.name == "prompts")
    parser.add_argument("prompts", metavar="PROMPTS", help=prompts.metadata["help"])
    _add_options(parser, [each for each in _options("rounds") if each.name != "prompts"])
    parser.set_defaults(after_interrupt=_after_rounds)


def _add_options(parser: argparse.ArgumentParser, options: Sequence[Field]) -> None:
    """Add the loss, what goes with it, and the other settings."""
    loss, *others = options
    _add_setting(parser, loss)
    add_import(parser)
    parser.add_argument("--pair", choices=PAIRS, help="how a set becomes one pair, in place of the loss's own")
    parser.add_argument("--tau", type=float, help="inverse temperature (1/nats) of a smooth or mellow --pair")
    for each in others:
        _add_setting(parser, each)


def _options(command: str = "finetune") -> list[Field]:
    """Return the settings that are options of a command, the loss first."""
    from mapl_explore.training.round_settings import RoundSettings
    from mapl_explore.training.settings import Settings

    known = [each for each in fields(RoundSettings if command == "rounds" else Settings) if each.init]
    return [each for each in known if each.name != "progress" and each.metadata.get("command", True)]


def _add_setting(parser: argparse.ArgumentParser, each: Field) -> None:
    """Add an option with the default, the choices and the help of a setting."""
    given = {name: each.metadata[name] for name in ("help", "choices", "metavar") if name in each.metadata}
    given |= {"nargs": "?", "const": each.metadata["bare"]} if "bare" in each.metadata else {}
    given |= {"required": True} if each.default is MISSING else {"default": each.default}
    if each.metadata.get("several"):
        given |= {"action": "append"}
    else:
        given |= {"action": "store_true"} if each.type is bool else {"type": READERS.get(each.type)}
    parser.add_argument(f"--{each.name.replace('_', '-')}", **given)


def _add_show(commands: argparse._SubParsersAction) -> None:
    text = "Show the results of one or several runs as a table, and with --out their course as curves."
    parser = _command(commands, "show", _show, text, "runs/dpo runs/cpo --out curves.png")
    parser.add_argument("runs", metavar="RUN", nargs="+", help="a run folder, as finetune writes it")
    parser.add_argument("--out", metavar="FILE", help="where the curves are drawn: .png, .pdf or .svg")
    add_overwrite(parser, "FILE")
    parser.add_argument("--json", action="store_true", help="print the results as JSON in place of a table")
    parser.set_defaults(extra="lab")


def _add_pretrain(commands: argparse._SubParsersAction) -> None:
    text = "Make the tiny GPT-2 that comes with this package again, on the CPU."
    parser = _command(commands, "pretrain", _pretrain, text, "--output data/tiny-gpt2")
    parser.add_argument("--output", required=True, metavar="DIR", help="where the model is written, new or interrupted")
    parser.add_argument("--steps", type=int, default=1200, help="updates of the weights")
    parser.add_argument("--seed", type=int, default=0, help="decides the texts and the first weights")
    parser.set_defaults(after_interrupt=lambda _: "; the same command goes on from the last checkpoint")


def _command(
    commands: argparse._SubParsersAction, name: str, run: Callable[[argparse.Namespace], None], text: str, example: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text, example=f"mapl-explore {name} {example}")
    parser.set_defaults(run=run)
    return parser


def _lab(arguments: argparse.Namespace) -> None:
    from mapl_explore.serving.lab import open_lab

    language(arguments.language)
    open_lab(student=not arguments.teacher, browser=not arguments.no_browser)


def _app(arguments: argparse.Namespace) -> None:
    from mapl_explore.serving.app import open_app

    language(arguments.language)
    open_app(browser=not arguments.no_browser)


def _finetune(arguments: argparse.Namespace) -> None:
    loss = _loss(arguments.loss, arguments.pair, arguments.tau)
    _check_places(arguments, arguments.data, arguments.eval)
    from mapl_explore.training.finetuning import finetune

    print(f"loss: {loss!r}", flush=True)
    given = {each.name: getattr(arguments, each.name) for each in _options()}
    done = finetune(**given | {"loss": loss})
    print(done.run.table)
    print(f"written to {done.folder}")


def _rounds(arguments: argparse.Namespace) -> None:
    loss = _loss(arguments.loss, arguments.pair, arguments.tau)
    _check_places(arguments, arguments.prompts, arguments.eval)
    from mapl_explore.training.round_settings import RoundSettings
    from mapl_explore.training.rounds import each_round

    print(f"loss: {loss!r}", flush=True)
    given = {each.name: getattr(arguments, each.name) for each in _options("rounds")}
    for one in each_round(RoundSettings(**given | {"loss": loss})):
        print(one, flush=True)
    print(f"written to {arguments.output}")


def _show(arguments: argparse.Namespace) -> None:
    from mapl_explore.runs.comparing import read_runs, runs_record, runs_table, save_curves

    require_new("--out", arguments.out, arguments)
    runs, passed_over = read_runs(arguments.runs)
    for reason in passed_over:
        print(f"passed over: {reason}", file=sys.stderr)
    if arguments.out is not None:
        save_curves(arguments.out, runs)
    print(json.dumps(runs_record(runs), indent=1) if arguments.json else runs_table(runs))
    if arguments.out is not None:
        print(f"curves written to {arguments.out}", file=sys.stderr if arguments.json else sys.stdout)


def _check_places(arguments: argparse.Namespace, *sources: str | None) -> None:
    """Raise where data are not there or the output is not new: now, not after the seconds that torch takes to load.

    A name without a file's suffix may be on the hub.
    """
    from mapl_explore.data.records import SUFFIXES
    from mapl_explore.runs.run_folder import require_new

    for path in filter(None, sources):
        if path.endswith(SUFFIXES):
            os.stat(path)
    if not arguments.resume and is_first():
        require_new(arguments.output)


def _after_finetune(arguments: argparse.Namespace) -> str:
    from mapl_explore.runs.run_folder import way_on

    way = way_on(arguments.output)
    return way and f"; {way}"


def _after_rounds(arguments: argparse.Namespace) -> str:
    begun = os.path.exists(os.path.join(arguments.output, "rounds.json"))
    return "; the same command with --resume goes on where it was" * begun


def _loss(text: str, pair: str | None, tau: float | None) -> "Loss":
    """Return the loss that the three arguments name together."""
    from mapl_explore.losses import parse
    from mapl_explore.losses.loss import Paired

    loss: Any = parse(text)  # some have a pair
    if pair is None and tau is not None:
        raise ValueError("--tau belongs to --pair smooth or --pair mellow")
    if pair is None:
        return loss
    if not isinstance(loss, Paired):
        raise ValueError(f"--pair {pair}: {loss!r} has no pair")
    sharpness = "" if tau is None else f"tau={tau!r}"
    paired: Any = parse(f"DPO(pair={pair.capitalize()}({sharpness}))")
    return replace(loss, pair=paired.pair)


def _pretrain(arguments: argparse.Namespace) -> None:
    from mapl_explore.models.pretrain import pretrain

    pretrain(output=arguments.output, steps=arguments.steps, seed=arguments.seed)


def _failed(message: str, *, code: int, notes: Sequence[str] = ()) -> int:
    """Say what is wrong in one line; if the user's own code failed, its traceback comes first."""
    _say("\n".join([*notes, f"mapl-explore: error: {message}"]))
    return code


def _say(text: str) -> None:
    """Say how the command ended, once for all processes of a launch."""
    if fails_first():
        with contextlib.suppress(OSError):  # nobody reads it any more
            print(text, file=sys.stderr)
