"""The commands that ask what a model makes of preference sets: ``tau``, ``select`` and ``score``."""

import argparse
import functools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mapl_explore.cli.outputs import add_overwrite, require_new
from mapl_explore.own_code import imported

if TYPE_CHECKING:  # each command loads what it needs, and no other
    from mapl_explore.data import PreferenceSet
    from mapl_explore.losses import Loss, ScoredSets
    from mapl_explore.sampling.pairs import Pairs

REFERENCE = "the base model of log-ratios, for losses that compare them: tiny, a folder, or a name on the hub"
SETS = "preference sets, in any format that 'data check' reads"
# The options of ``tau`` that go with numbers alone, or with --data alone, and their defaults.
OF_NUMBERS = {"n": None, "gap": None, "method": "newton"}
OF_DATA = {
    "model": "tiny",
    "reference": None,
    "chat": "auto",
    "device": "auto",
    "batch_size": None,
    "precision": "float32",
    "fresh": False,
    "loss": "maxneg-minpos",
    "import": None,
    "share": 0.9,
}


class _Import(argparse.Action):
    """Import a module at once, so that its losses have names."""

    def __call__(
        self, parser: object, namespace: argparse.Namespace, values: Any, option_string: object = None
    ) -> None:
        imported(values)
        setattr(namespace, self.dest, values)


def add_import(parser: argparse.ArgumentParser) -> None:
    """Add ``--import`` to a command that takes a loss."""
    text = "a Python module or file of yours, found from this folder, that defines losses of your own for --loss"
    parser.add_argument("--import", metavar="MODULE", action=_Import, help=text)


def add_tau(commands: argparse._SubParsersAction) -> None:
    """Add ``tau`` to the commands of the command line."""
    text = (
        "Print the inverse temperatures that meet a target: for one set by its size and gap, or for all sets of a file."
    )
    example = "mapl-explore tau --n 8 --gap 0.5 --epsilon 0.05"
    parser = commands.add_parser("tau", help=text, description=text, example=example)
    add = parser.add_argument
    add("--n", type=int, help="number of scores, at least 2")
    add("--gap", type=float, help="largest minus second largest score, nats, at least 0")
    add("--epsilon", type=float, help="target error, nats, above 0 (with --data: 0.1 if not given)")
    text = "the smoothing, from 1 (log-sum-exp, if not given) to 2 (sparsemax), as in Smooth(tau, alpha)"
    add("--alpha", type=float, default=1.0, help=text)
    text = "Newton's root finder, or SciPy's by brackets (without --data: newton if not given)"
    add("--method", choices=("newton", "bracket"), help=text)
    add("--data", metavar="FILE", help="preference sets: print their gaps, and the tau that each rule gives")
    _add_models(parser, "with --data: ")
    add("--loss", metavar="TEXT", help="with --data: the loss whose score is compared (maxneg-minpos if not given)")
    add_import(parser)
    add("--share", type=float, help="with --data: the leader share to aim at, in (1/2, 1) (0.9 if not given)")
    parser.set_defaults(run=_tau, model=None, chat=None, device=None, precision=None, fresh=None)


def add_select(commands: argparse._SubParsersAction) -> None:
    """Add ``select`` to the commands of the command line."""
    text = (
        "Draw pairs from preference sets by their margin under a model: rejection sampling. Writes data for finetune."
    )
    example = 'mapl-explore select sets.jsonl pairs.jsonl --accept "Band(low=0, high=2)"'
    parser = commands.add_parser("select", help=text, description=text, example=example)
    add = parser.add_argument
    add("input", metavar="IN", help=SETS)
    text = "the new file of pairs in the order of acceptance, .jsonl, .jsonl.gz or .parquet as its name says"
    add("output", metavar="OUT", help=text)
    add_overwrite(parser, "OUT")
    add("--accept", required=True, metavar="KERNEL", help="Band, Bell, QuantileBand or QuantileBell, with their fields")
    _add_models(parser)
    add("--loss", default="maxneg-minpos", metavar="TEXT", help="the loss whose score makes the margins")
    add_import(parser)
    add("--size", type=int, help="how many pairs to draw, with replacement; as many as there are sets if not given")
    add("--seed", type=int, default=0, help="decides which pairs are drawn")
    parser.set_defaults(run=_select)


def add_score(commands: argparse._SubParsersAction) -> None:
    """Add ``score`` to the commands of the command line."""
    text = "Write the log-probability of every response of preference sets under a model; or show what the model reads."
    example = "mapl-explore score data/world/test.jsonl scores.jsonl --model runs/dpo --reference tiny"
    parser = commands.add_parser("score", help=text, description=text, example=example)
    parser.add_argument("input", metavar="FILE", help=SETS)
    text = "the table, a new file with one row for each response, .jsonl, .jsonl.gz, .csv or .parquet as its name says"
    parser.add_argument("output", metavar="OUT", nargs="?", help=text)
    add_overwrite(parser, "OUT")
    _add_models(parser)
    text = "print the first N sets as the model reads them, special tokens by their names; without OUT that is all"
    parser.add_argument("--show", type=int, metavar="N", help=text)
    parser.set_defaults(run=_score)


def _add_models(parser: argparse.ArgumentParser, when: str = "") -> None:
    add = parser.add_argument
    add("--model", default="tiny", help=f"{when}tiny, a folder, or a name on the Hugging Face hub")
    add("--reference", metavar="MODEL", help=when + REFERENCE)
    add_chat(parser, when)
    add_place(parser, f"{when}most sets in one pass; as many as make 8,192 tokens if not given", when)
    add("--fresh", action="store_true", help=f"{when}compute log-probs that an earlier command has kept once more")


def add_chat(parser: argparse.ArgumentParser, when: str = "") -> None:
    """Add ``--chat`` to a command that has a model read prompts."""
    from mapl_explore.models.choices import CHATS

    text = (
        "which prompts the tokenizer's chat template writes: auto, those that are messages; always, all, with a plain"
    )
    text += " text as a user's message; never, none, and messages become a transcript"
    parser.add_argument("--chat", nargs="?", const="always", choices=CHATS, default=CHATS[0], help=when + text)


def add_place(parser: argparse.ArgumentParser, batch: str, when: str = "") -> None:
    """Add to a command where, and how much at a time, a model computes."""
    from mapl_explore.models.choices import DEVICES, FLOAT32, LOADED

    parser.add_argument("--batch-size", type=int, metavar="N", help=batch)
    text = f"{when}where to compute; auto takes a CUDA GPU where there is one"
    parser.add_argument("--device", choices=DEVICES, default=DEVICES[0], help=text)
    text = (
        f"{when}the type of the model's weights; bf16-weights takes half the memory, and rounds: log-probs of the tiny"
    )
    text += " model's responses were off by up to 0.12 nats"
    parser.add_argument("--precision", choices=LOADED, default=FLOAT32, help=text)


def _tau(arguments: argparse.Namespace) -> None:
    if arguments.data is not None:
        _refuse(arguments, OF_NUMBERS, "with")
        _tau_of_data(_filled(arguments, OF_DATA))
        return
    _refuse(arguments, OF_DATA, "without")
    if None in (arguments.n, arguments.gap, arguments.epsilon):
        raise ValueError("tau needs --n, --gap and --epsilon, or --data")
    _tau_of_one(_filled(arguments, OF_NUMBERS))


def _refuse(arguments: argparse.Namespace, names: Iterable[str], when: str) -> None:
    """Refuse options that would change nothing."""
    given = [f"--{name.replace('_', '-')}" for name in names if getattr(arguments, name) is not None]
    if given:
        raise ValueError(f"{when} --data, tau does not read {', '.join(given)}: leave out what it does not read")


def _filled(arguments: argparse.Namespace, defaults: dict) -> argparse.Namespace:
    """Return the arguments, with defaults for those that are not given."""
    missing = {name: default for name, default in defaults.items() if getattr(arguments, name) is None}
    return argparse.Namespace(**vars(arguments) | missing)


def _tau_of_one(arguments: argparse.Namespace) -> None:
    import numpy as np

    from mapl_explore.numerics.temperature import solve_tau_lower, solve_tau_upper
    from mapl_explore.rounding import surely

    n, gap, epsilon, alpha = arguments.n, arguments.gap, arguments.epsilon, arguments.alpha
    target: dict[str, Any] = {"epsilon": epsilon, "gap": gap, "method": arguments.method, "alpha": alpha}
    with np.errstate(all="ignore"):  # an overflow ends in an error of our own
        upper, lower = solve_tau_upper(n=n, **target), solve_tau_lower(**target)
    smoothing = "" if alpha == 1 else f"; alpha {alpha:g}"
    aim = f"target error {epsilon:g} nats; tau in 1/nats{smoothing}"
    print(f"{n} scores, the largest {gap:g} nats above the second; {aim}")
    least, most = surely(float(lower), up=False, digits=6), surely(float(upper), up=True, digits=6)
    print(f"lower      {least:12.6g}  At and below it, the error is at least {epsilon:g}, whatever the others.")
    print(f"upper      {most:12.6g}  At and above it, the error is at most {epsilon:g}, whatever the others.")
    if alpha == 1:
        print(_asymptotic(n, gap, epsilon, float(upper)))
    if n > 2:
        print("Between lower and upper, the error depends on the other scores.")


def _asymptotic(n: int, gap: float, epsilon: float, upper: float) -> str:
    """Return the line on the large-tau form, which log-sum-exp alone has."""
    import numpy as np

    from mapl_explore.numerics.bounds import error_upper_bound
    from mapl_explore.numerics.temperature import solve_tau_asymptotic
    from mapl_explore.rounding import surely

    with np.errstate(all="ignore"):
        tau = solve_tau_asymptotic(epsilon=epsilon, n=n, gap=gap)
    bound, form = error_upper_bound(n=n, gap=gap, tau=tau), surely(float(tau), up=True, digits=6)
    over = f"{tau / upper - 1:.1%} too large, where the bound is {bound:.3g} and not {epsilon:g}."
    return f"asymptotic {form:12.6g}  The Lambert-W form of upper, meant for large tau: here {over}"


def _tau_of_data(arguments: argparse.Namespace) -> None:
    from mapl_explore.data import read_alike
    from mapl_explore.files import counted
    from mapl_explore.losses import Smooth, parse, reads_reference
    from mapl_explore.losses.loss import Paired
    from mapl_explore.losses.tau_advice import advise, rules_for

    aims = {"epsilon": 0.1 if arguments.epsilon is None else arguments.epsilon, "share": arguments.share}
    rules_for(**aims)  # a target out of its range is refused now, and so is an alpha
    Smooth(alpha=arguments.alpha)
    if not isinstance(asked := parse(arguments.loss), Paired):
        raise ValueError(f"{type(asked).__name__} makes no pair of a set, so there is no tau to choose for it")
    loss = _comparable(arguments)
    scored = _scored(read_alike(arguments.data), arguments)
    under = f"{arguments.model} against {arguments.reference}" if reads_reference(loss) else arguments.model
    print(f"{counted(len(scored.label), 'set')}; scores of {loss!r} under {under}")
    print(advise(scored, loss, alpha=arguments.alpha, **aims))


def _select(arguments: argparse.Namespace) -> None:
    import numpy as np

    from mapl_explore.data import read_alike, require_output, write_sets
    from mapl_explore.files import counted, require_other, whole_number
    from mapl_explore.launch import is_first
    from mapl_explore.models.processes import reserved
    from mapl_explore.sampling.kernels import parse_kernel
    from mapl_explore.sampling.pairs import MOST_PAIRS, RejectionSampler, pair_margins

    sampler, rng = RejectionSampler(parse_kernel(arguments.accept)), np.random.default_rng(_seed(arguments.seed))
    loss, size = _comparable(arguments), arguments.size
    if size is not None:
        whole_number("--size", size, 1, MOST_PAIRS)
    require_output(arguments.output)
    require_other(arguments.input, arguments.output)
    require_new("OUT", arguments.output, arguments)
    with reserved(arguments.output):
        sets = read_alike(arguments.input)
        pairs = pair_margins(_scored(sets, arguments), loss)
        indices, report = sampler.sample(rng, pairs.margin, len(sets) if size is None else size)
        if is_first():
            write_sets(arguments.output, _as_sets(pairs.take(indices), sets))
    different = f"{len(set(indices.tolist()))} different of {counted(len(pairs), 'pair')}"
    print(f"{report}\n{different} of {counted(len(sets), 'set')}, written to {arguments.output}")


def _seed(seed: int) -> int:
    if seed < 0:
        raise ValueError(f"--seed must be at least 0, not {seed}")
    return seed


def _as_sets(pairs: "Pairs", sets: "Sequence[PreferenceSet]") -> "list[PreferenceSet]":
    """Return each pair as a preference set of its own."""
    places = zip(pairs.set, pairs.positive, pairs.negative, strict=True)
    return [sets[i].pair(plus, minus) for i, plus, minus in places]


def _score(arguments: argparse.Namespace) -> None:
    _require_scores(arguments)
    if arguments.show is not None:
        _show_sets(arguments)
    if arguments.output is not None:
        _write_scores(arguments)


def _require_scores(arguments: argparse.Namespace) -> None:
    """Raise where there is nothing to do, or the table cannot be written."""
    from mapl_explore.files import require_other, whole_number
    from mapl_explore.models.score_table import require_table

    if arguments.show is not None:
        whole_number("--show", arguments.show, 1)
    elif arguments.output is None:
        raise ValueError("score needs OUT, the table to write, or --show N, which prints what the model reads")
    if arguments.output is not None:
        require_table(arguments.output)
        require_other(arguments.input, arguments.output)
        require_new("OUT", arguments.output, arguments)


def _write_scores(arguments: argparse.Namespace) -> None:
    from mapl_explore.data import read_alike
    from mapl_explore.files import counted
    from mapl_explore.launch import is_first
    from mapl_explore.models.processes import reserved
    from mapl_explore.models.score_table import score_rows, write_table

    with reserved(arguments.output):
        sets = read_alike(arguments.input)
        rows = score_rows(sets, _scored(sets, arguments), reference=arguments.reference is not None)
        if is_first():
            write_table(arguments.output, rows)
    print(f"{counted(len(rows), 'response')} of {counted(len(sets), 'set')}, written to {arguments.output}")


def _show_sets(arguments: argparse.Namespace) -> None:
    """Print some sets as the model reads them."""
    from mapl_explore.data import read_alike
    from mapl_explore.models.loading import load_model, weights_type
    from mapl_explore.models.scoring import encoded_for
    from mapl_explore.models.showing import shown_set

    model, tokenizer = load_model(arguments.model, dtype=weights_type(arguments.precision))
    encoded = encoded_for(model, tokenizer, read_alike(arguments.input), chat=arguments.chat)
    for number, one in enumerate(encoded[: arguments.show]):
        print(f"set {number}, as {arguments.model} reads it\n{shown_set(tokenizer, one)}")


def _comparable(arguments: argparse.Namespace) -> "Loss":
    """Return the loss; refuse one that needs a base model, before any model is loaded, where none is given."""
    from mapl_explore.losses import parse, reads_reference

    loss = parse(arguments.loss)
    if arguments.reference in (None, arguments.model) and reads_reference(loss):
        raise ValueError(
            f"{type(loss).__name__} compares log-ratios to a reference, and without one all of them are 0:"
            f" give --reference MODEL, another one than --model {arguments.model}, or take a loss without, such as cpo"
        )
    return loss


def _scored(sets: "Sequence[PreferenceSet]", arguments: argparse.Namespace) -> "ScoredSets":
    """Return the log-probs of sets under the model and under the reference, one of them in memory at a time."""
    from mapl_explore.models.processes import processes_of, require_device

    require_device(arguments.device)
    with processes_of(arguments.device):  # one group for both
        return _scored_by_both(sets, arguments)


def _scored_by_both(sets: "Sequence[PreferenceSet]", arguments: argparse.Namespace) -> "ScoredSets":
    from mapl_explore.models.kept_scores import scores_by_name

    options = {name: getattr(arguments, name) for name in ("chat", "device", "batch_size", "precision", "fresh")}
    if arguments.reference in (None, arguments.model):  # it is its own reference
        return scores_by_name(arguments.model, sets, **options)
    options["before"] = functools.cache(functools.partial(_require_alike, sets, arguments))  # once for both
    own = scores_by_name(arguments.model, sets, **options)
    other = scores_by_name(arguments.reference, sets, **options)
    _require_same_tokens(arguments, own.length.tolist(), other.length.tolist())
    return replace(own, ref_logp=other.logp)


def _require_alike(sets: "Sequence[PreferenceSet]", arguments: argparse.Namespace) -> None:
    """Raise, before either model scores, unless both can read the sets, and as the same tokens."""
    from mapl_explore.models.checking import told_of
    from mapl_explore.models.kept_scores import lengths_by_name

    read = []
    for argument in ("model", "reference"):
        with told_of(argument, name := getattr(arguments, argument)):
            read.append(lengths_by_name(name, sets, arguments.chat))
    _require_same_tokens(arguments, *read)


def _require_same_tokens(arguments: argparse.Namespace, own: list[list[int]], other: list[list[int]]) -> None:
    """Raise ValueError unless two models read responses of the same lengths (sets, n)."""
    if own != other:
        raise ValueError(
            f"--reference {arguments.reference} reads the responses as other tokens than --model {arguments.model}:"
            " log-ratios need one tokenizer, one chat template (or --chat never) and room for the same texts"
        )
