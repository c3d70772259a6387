"""The command line, ``mapl-explore``: arguments in, plain words and an exit code out.

Exit codes: 0 done, 1 the work failed, 2 the user's mistake, 130 interrupted. What a command needs is imported when it
runs, so that ``--help`` does not wait for torch.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import replace

from mapl_explore.data_commands import add_data, add_sample

PAIRS = ("first", "mean", "hardest", "smooth", "mellow")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after the program's name; those of this process if not given.

    Returns
    -------
    int
        0, 1 or 130; a mistake in the arguments themselves exits with 2, as ``--help`` does with 0.

    Examples
    --------
    >>> main(["tau", "--n", "1", "--gap", "1", "--epsilon", "0.1"])
    2
    """
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except KeyboardInterrupt:
        print(f"\nmapl-explore: interrupted{arguments.after_interrupt(arguments)}", file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        return _failed(f"{error.name} is not installed: pip install 'mapl_explore[{arguments.extra}]'", code=1)
    except OSError as error:
        return _failed(
            f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error), code=2
        )
    except ValueError as error:
        return _failed(str(error), code=2)
    except (ArithmeticError, MemoryError, RuntimeError) as error:
        return _failed(str(error) or type(error).__name__, code=1)
    return 0


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and whose help keeps the lines of its example."""

    def __init__(self, *args, example: str, **kwargs):
        super().__init__(*args, formatter_class=_Help, epilog=f"example:\n  {example}", **kwargs)

    def error(self, message):
        self.exit(2, f"mapl-explore: error: {message} ('{self.prog} --help' explains)\n")


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Show defaults where there are any, and the example as it is typed."""

    def _get_help_string(self, action):
        return super()._get_help_string(action) if action.default not in (None, False) else action.help


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="mapl-explore",
        description="See, trust and train with the mathematics of smoothed max-min preference learning.",
        example="mapl-explore tau --n 8 --gap 0.5 --epsilon 0.05",
    )
    parser.set_defaults(after_interrupt=lambda _: "", extra="train")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    adders = (_add_lab, _add_app, _add_tau, _add_select, _add_finetune, _add_show, _add_pretrain, add_data, add_sample)
    for add in adders:
        add(commands)
    return parser


def _add_lab(commands) -> None:
    parser = _command(commands, "lab", _lab, "Open the notebooks in JupyterLab, on this machine alone.", "--no-browser")
    parser.add_argument("--student", action="store_true", help="copies without the solutions")
    parser.add_argument("--no-browser", action="store_true", help="print the address and open nothing")
    parser.set_defaults(extra="lab")


def _add_app(commands) -> None:
    text = "Show the explorers on one page for a projector, without code, on this machine alone."
    parser = _command(commands, "app", _app, text, "--no-browser")
    parser.add_argument("--no-browser", action="store_true", help="print the address and open nothing")
    parser.set_defaults(extra="lab")


def _add_tau(commands) -> None:
    text = (
        "Print the inverse temperatures that meet a target: for one set by its size and gap, or for all sets of a file."
    )
    parser = _command(commands, "tau", _tau, text, "--n 8 --gap 0.5 --epsilon 0.05")
    add = parser.add_argument
    add("--n", type=int, help="number of scores, at least 2")
    add("--gap", type=float, help="largest minus second largest score, nats, at least 0")
    add("--epsilon", type=float, help="target error, nats, above 0 (with --data: 0.1 if not given)")
    add("--method", choices=("newton", "bracket"), default="newton", help="Newton's, or SciPy's bracketing root finder")
    add("--data", metavar="FILE", help="preference sets: the gaps in them, and the tau that each rule gives")
    add("--model", default="tiny", help="with --data: tiny, a folder, or a name on the Hugging Face hub")
    add("--loss", default="maxneg-minpos", metavar="TEXT", help="with --data: whose score is compared")
    _add_import(parser)
    add("--share", type=float, default=0.9, help="with --data: the leader share to aim at, in (1/2, 1)")


def _add_select(commands) -> None:
    text = (
        "Draw pairs from preference sets by their margin under a model: rejection sampling. Writes data for finetune."
    )
    example = 'sets.jsonl pairs.jsonl --accept "Band(low=0, high=2)"'
    parser = _command(commands, "select", _select, text, example)
    add = parser.add_argument
    add("input", metavar="IN", help="preference sets, JSONL")
    add("output", metavar="OUT", help="where the accepted pairs are written, one a line, in the order of acceptance")
    add("--accept", required=True, metavar="KERNEL", help="Band, Bell, QuantileBand or QuantileBell, with their fields")
    add("--model", default="tiny", help="tiny, a folder, or a name on the Hugging Face hub")
    add("--loss", default="maxneg-minpos", metavar="TEXT", help="whose score makes the margins")
    _add_import(parser)
    add("--size", type=int, help="how many pairs to draw, with replacement; as many as there are sets if not given")
    add("--seed", type=int, default=0, help="decides which are drawn")


def _add_finetune(commands) -> None:
    text = "Fine-tune a causal language model with a loss on preference sets; print held-out means before and after."
    example = '--loss "DPO(beta=0.1, pair=Smooth(tau=5.0))" --data sets.jsonl --output runs/first'
    parser = _command(commands, "finetune", _finetune, text, example)
    add = parser.add_argument
    add("--loss", required=True, metavar="TEXT", help="a preset such as dpo-smooth, or a loss such as 'DPO(beta=0.1)'")
    _add_import(parser)
    add("--pair", choices=PAIRS, help="how a set becomes one pair, in place of the loss's own")
    add("--tau", type=float, help="inverse temperature (1/nats) of a smooth or mellow --pair")
    add("--model", default="tiny", help="tiny, a folder, or a name on the Hugging Face hub")
    add("--data", required=True, metavar="FILE", help="JSONL with prompt, positives and negatives on each line")
    add("--eval", metavar="FILE", help="held-out sets; without it, those of a tenth of the prompts of --data")
    add("--output", required=True, metavar="DIR", help="the run folder, new or empty")
    add("--steps", type=int, default=24, help="updates of the weights")
    add("--sets-per-step", type=int, default=16, help="preference sets in each update")
    add("--lr", type=float, default=8e-5, help="highest learning rate")
    add("--seed", type=int, default=0, help="decides the order of the sets and which are held out")
    add("--truncate", choices=("keep-start", "error"), default="keep-start", help="sets beyond the model's context")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute")
    add("--precision", choices=("float32", "bf16"), default="float32", help="in which the model computes, not the loss")
    add("--save-every", type=int, metavar="N", help="steps between checkpoints; a quarter of --steps if not given")
    add("--report", choices=("none", "tensorboard"), default="none", help="log of each step besides run.json")
    add("--verifier", metavar="WHICH", help="who judges greedy answers: world, exact or module:function")
    add("--answers", type=int, default=400, help="how many of the held-out prompts get answers, before and after")
    add("--resume", action="store_true", help="go on with the run in --output from its last checkpoint")
    parser.set_defaults(after_interrupt=_after_finetune)


def _add_show(commands) -> None:
    text = "Show what one or several runs came to, as a table, and with --out how they went, as curves."
    parser = _command(commands, "show", _show, text, "runs/dpo runs/cpo --out curves.png")
    parser.add_argument("runs", metavar="RUN", nargs="+", help="a run folder, as finetune writes it")
    parser.add_argument("--out", metavar="FILE", help="where the curves are drawn: .png, .pdf or .svg")
    parser.set_defaults(extra="lab")


def _add_pretrain(commands) -> None:
    text = "Make the tiny GPT-2 that comes with this package again."
    parser = _command(commands, "pretrain", _pretrain, text, "--output data/tiny-gpt2")
    parser.add_argument("--output", required=True, metavar="DIR", help="where the model is written, new or interrupted")
    parser.add_argument("--steps", type=int, default=1200, help="updates of the weights")
    parser.add_argument("--seed", type=int, default=0, help="decides the texts and the first weights")
    parser.set_defaults(after_interrupt=lambda _: "; the same command goes on from the last checkpoint")


def _add_import(parser) -> None:
    text = "a Python module of yours, found from this folder, that defines losses of your own for --loss"
    parser.add_argument("--import", dest="module", metavar="MODULE", action=_Import, help=text)


class _Import(argparse.Action):
    """Import a module at once: its losses then have names."""

    def __call__(self, parser, namespace, values, option_string=None):
        sys.path.insert(0, os.getcwd())
        try:
            importlib.import_module(values)
        except ImportError as error:
            parser.error(f"--import {values}: {error}")


def _command(commands, name: str, run, text: str, example: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text, example=f"mapl-explore {name} {example}")
    parser.set_defaults(run=run)
    return parser


def _lab(arguments) -> None:
    from mapl_explore.lab import open_lab

    open_lab(student=arguments.student, browser=not arguments.no_browser)


def _app(arguments) -> None:
    from mapl_explore.app import open_app

    open_app(browser=not arguments.no_browser)


def _tau(arguments) -> None:
    single = [arguments.n, arguments.gap, arguments.epsilon]
    if arguments.data is None and None in single:
        raise ValueError("tau needs --n, --gap and --epsilon, or --data")
    if arguments.data is not None and (arguments.n, arguments.gap) != (None, None):
        raise ValueError("--data brings its own sizes and gaps: leave --n and --gap out")
    _tau_of_one(*single, arguments.method) if arguments.data is None else _tau_of_data(arguments)


def _tau_of_one(n: int, gap: float, epsilon: float, method: str) -> None:
    import numpy as np

    from mapl_explore.bounds import error_upper_bound
    from mapl_explore.temperature import solve_tau_asymptotic, solve_tau_lower, solve_tau_upper

    with np.errstate(all="ignore"):  # what overflows ends in an error of our own
        upper = solve_tau_upper(epsilon=epsilon, n=n, gap=gap, method=method)
        lower = solve_tau_lower(epsilon=epsilon, gap=gap, method=method)
        asymptotic = solve_tau_asymptotic(epsilon=epsilon, n=n, gap=gap)
    bound = error_upper_bound(n=n, gap=gap, tau=asymptotic)
    over = f"{asymptotic / upper - 1:.1%} too large, where the bound is {bound:.3g} and not {epsilon:g}."
    print(f"{n} scores, the largest {gap:g} nats above the second; target error {epsilon:g} nats; tau in 1/nats")
    print(f"lower      {lower:12.6g}  At and below it, the error is at least {epsilon:g}, whatever the others.")
    print(f"upper      {upper:12.6g}  At and above it, the error is at most {epsilon:g}, whatever the others.")
    print(f"asymptotic {asymptotic:12.6g}  The Lambert-W form of upper, meant for large tau: here {over}")
    if n > 2:
        print("Between lower and upper, the error depends on the other scores.")


def _tau_of_data(arguments) -> None:
    from mapl_explore.advice import advise
    from mapl_explore.losses import parse

    loss = parse(arguments.loss)
    _, scored = _scored(arguments.data, arguments.model)
    epsilon = 0.1 if arguments.epsilon is None else arguments.epsilon
    print(f"{len(scored.label)} sets; scores of {loss!r} under {arguments.model}")
    print(advise(scored, loss, epsilon=epsilon, share=arguments.share))


def _select(arguments) -> None:
    import numpy as np

    from mapl_explore.data import PreferenceSet, write_sets
    from mapl_explore.losses import parse
    from mapl_explore.selection import RejectionSampler, pair_margins, parse_kernel

    sampler, loss = RejectionSampler(parse_kernel(arguments.accept)), parse(arguments.loss)
    sets, scored = _scored(arguments.input, arguments.model)
    pairs = pair_margins(scored, loss)
    size = len(sets) if arguments.size is None else arguments.size
    indices, report = sampler.sample(np.random.default_rng(arguments.seed), pairs.margin, size)
    chosen = pairs.take(indices)
    texts = [(*one.positives, *one.negatives) for one in sets]
    write_sets(
        arguments.output,
        (
            PreferenceSet(sets[number].prompt, [texts[number][plus]], [texts[number][minus]])
            for number, plus, minus in zip(chosen.set, chosen.positive, chosen.negative, strict=True)
        ),
    )
    different = f"{len(set(indices.tolist()))} different ones of the {len(pairs)} pairs"
    print(f"{report}\n{different} of {len(sets)} sets, written to {arguments.output}")


def _scored(path: str, model: str):
    """Return the sets of a file, and their log-probs under a model that is its own reference."""
    from mapl_explore.data import read_sets

    sets = read_sets(path)
    from mapl_explore.scoring import load_model, score_sets

    return sets, score_sets(*load_model(model), sets)


def _finetune(arguments) -> None:
    loss = _loss(arguments.loss, arguments.pair, arguments.tau)
    for path in filter(None, (arguments.data, arguments.eval)):
        _check_there(path)  # now, not after the seconds that torch takes to load
    from mapl_explore.training import finetune

    say = print if os.environ.get("RANK", "0") == "0" else lambda *_, **__: None  # one of several processes speaks
    say(f"loss: {loss!r}", flush=True)
    names = "data output model eval steps seed lr sets_per_step truncate device precision save_every report"
    names += " verifier answers resume"
    done = finetune(loss=loss, **{name: getattr(arguments, name) for name in names.split()})
    say(f"written to {done.folder}")


def _show(arguments) -> None:
    from mapl_explore.runs import read_run
    from mapl_explore.showing import runs_table, save_curves

    runs = [(name.rstrip("/"), read_run(name)) for name in arguments.runs]
    if arguments.out is not None:
        save_curves(arguments.out, runs)
    print(runs_table(runs))
    if arguments.out is not None:
        print(f"curves written to {arguments.out}")


def _check_there(path: str) -> None:
    """Raise the error of a file that is not there; a name without a file's suffix may be on the hub."""
    from mapl_explore.data.records import SUFFIXES

    if path.endswith(SUFFIXES):
        os.stat(path)


def _after_finetune(arguments) -> str:
    from mapl_explore.runs import RECORD, last_checkpoint

    if not os.path.exists(os.path.join(arguments.output, RECORD)):
        return ""
    checkpoint = last_checkpoint(arguments.output)
    start = f"from {checkpoint.name}" if checkpoint else "from the beginning, there being no checkpoint yet"
    return f"; the same command with --resume goes on {start}"


def _loss(text: str, pair: str | None, tau: float | None):
    """Return the loss that the three arguments name together."""
    from mapl_explore.losses import parse

    loss = parse(text)
    if pair is None and tau is not None:
        raise ValueError("--tau belongs to --pair smooth or --pair mellow")
    if pair is None:
        return loss
    if not hasattr(loss, "pair"):
        raise ValueError(f"--pair {pair}: {loss!r} compares nothing, it has no pair")
    tau = "" if tau is None else f"tau={tau!r}"
    return replace(loss, pair=parse(f"DPO(pair={pair.capitalize()}({tau}))").pair)


def _pretrain(arguments) -> None:
    from mapl_explore.pretrain import pretrain

    pretrain(output=arguments.output, steps=arguments.steps, seed=arguments.seed)


def _failed(message: str, *, code: int) -> int:
    print(f"mapl-explore: error: {message}", file=sys.stderr)
    return code
