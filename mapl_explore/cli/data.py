"""The commands that make preference data: ``data check``, ``data convert``, ``data world`` and ``sample``."""

import argparse
from dataclasses import replace

from mapl_explore.cli.outputs import add_overwrite, require_new
from mapl_explore.cli.scoring import add_chat, add_place
from mapl_explore.notes import note

WRITTEN = "the new file to write, .jsonl, .json, .jsonl.gz or .parquet as its name says"


def add_data(commands: argparse._SubParsersAction) -> None:
    """Add ``data`` with its own commands to those of the command line."""
    text = "Describe, convert and make preference data."
    parser = commands.add_parser("data", help=text, description=text, example="mapl-explore data check sets.jsonl")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_add_check, _add_convert, _add_world):
        add(commands)


def _add_check(commands: argparse._SubParsersAction) -> None:
    text = "Describe preference data: counts, sizes, lengths, duplicates, contradictions; exit code 1 on faults,"
    text += " or where only some records have scores, which nothing trains on."
    example = "mapl-explore data check pairs.parquet"
    parser = commands.add_parser("check", help=text, description=text, example=example)
    _add_source(parser, "FILE")
    parser.set_defaults(run=_check)


def _add_convert(commands: argparse._SubParsersAction) -> None:
    text = "Write preference data as sets in our own format; nothing is written if a record is malformed."
    example = "mapl-explore data convert pairs.parquet sets.jsonl"
    parser = commands.add_parser("convert", help=text, description=text, example=example)
    _add_source(parser, "IN")
    parser.add_argument("output", metavar="OUT", help=WRITTEN)
    add_overwrite(parser, "OUT")
    text = "leave out the scores, which only some losses read and which all sets must have or none"
    parser.add_argument("--without-scores", action="store_true", help=text)
    parser.set_defaults(run=_convert)


def _add_source(parser: argparse.ArgumentParser, name: str) -> None:
    add = parser.add_argument
    add("source", metavar=name, help="a file of JSON or parquet, or owner/name[:split] on the Hugging Face hub")
    add("--format", metavar="NAME", help="sets, trl, openai, hh-rlhf or scored; if not given, the fields tell it")
    text = "scored completions: the least score of a positive; if not given, the best ones against the worst ones"
    add("--threshold", type=float, metavar="SCORE", help=text)


def _add_world(commands: argparse._SubParsersAction) -> None:
    text = "Make preference sets of the small world, the same ones for the same arguments."
    example = "mapl-explore data world sets.jsonl --n 100 --seed 1"
    parser = commands.add_parser("world", help=text, description=text, example=example)
    add = parser.add_argument
    add("output", metavar="OUT", help=WRITTEN)
    add_overwrite(parser, "OUT")
    add("--n", type=int, required=True, help="how many sets")
    add("--seed", type=int, required=True, help="decides the sets")
    add("--split", choices=("train", "validation", "test"), default="train", help="whom to ask about: nobody is in two")
    add("--distractors", type=int, default=2, help="forum passages next to the official one, 0 to 8")
    add("--agreement", type=float, default=0.8, help="probability that a further forum passage repeats the first")
    add("--noise", type=float, default=0.0, help="probability that the two sides of a set are exchanged")
    add("--per-side", type=int, default=4, help="positives, and negatives, of a set, 1 to 6")
    parser.set_defaults(run=_world)


def add_sample(commands: argparse._SubParsersAction) -> None:
    """Add ``sample`` to the commands of the command line."""
    text = "Sample responses from a model, verify them, and write the sets that have right and wrong ones."
    example = "mapl-explore sample data/world/test.jsonl sampled.jsonl --verifier world"
    parser = commands.add_parser("sample", help=text, description=text, example=example)
    add = parser.add_argument
    add("source", metavar="PROMPTS", help="records with a prompt: .jsonl, .jsonl.gz, .parquet, or a name on the hub")
    add("output", metavar="OUT", help=WRITTEN)
    add_overwrite(parser, "OUT, or the file of --draws,")
    add("--model", default="tiny", help="tiny, a folder, or a name on the Hugging Face hub")
    add("--k", type=int, default=16, help="responses to each prompt; equal ones count once without --duplicates")
    text = "world, exact (equal to --reference) or module:function, found from this folder: (prompt, response) -> bool,"
    text += " or a number with --threshold"
    add("--verifier", required=True, metavar="NAME", help=text)
    add("--reference", metavar="FIELD", help="the field of the right response, a text or a list of texts")
    text = "the least number of a right response, for a verifier that returns numbers; they become the sets' scores"
    add("--threshold", type=float, metavar="SCORE", help=text)
    text = "a table of every draw with its token ids, those cut off and duplicates marked: a new file, .jsonl,"
    add("--draws", metavar="FILE", help=f"{text} .jsonl.gz, .csv or .parquet as its name says")
    add("--fallback", action="store_true", help="where the model gave no right or no wrong response, take the file's")
    add("--duplicates", action="store_true", help="a response stands in its set as often as it was drawn")
    text = "most tokens of a response, cut off and dropped there; if not given, the model's generation_config's, or 256"
    add("--max-tokens", type=int, help=text)
    add("--temperature", type=float, default=1.0, help="what logits are divided by; 1 samples the model itself")
    add("--seed", type=int, default=0, help="decides the responses")
    add_chat(parser)
    add_place(parser, "most prompts in one pass; one of more than 8,192 tokens is split")
    parser.set_defaults(run=_sample, after_interrupt=lambda _: "; the same command goes on where it was")


def _check(arguments: argparse.Namespace) -> None:
    from mapl_explore.data import description, fault_lines, read_all
    from mapl_explore.files import counted

    reading = read_all(arguments.source, format=arguments.format, threshold=arguments.threshold)
    print(f"{arguments.source}: {reading}")
    if reading.sets:
        print(description(reading.sets, reading.repeated, reading.averaged, reading.same))
    for line in fault_lines(reading.faults, reading.records):
        print(f"fault: {line}")
    if reading.faults:
        records = counted(reading.records, "record")
        raise RuntimeError(f"{len(reading.faults)} of {records} cannot be read, {arguments.source}")
    if not reading.sets:
        raise RuntimeError(f"{arguments.source}: there is no preference set in it")
    if reading.ungraded:
        raise RuntimeError(reading.ungraded)


def _convert(arguments: argparse.Namespace) -> None:
    from mapl_explore.data import read_all, require_output, require_sets, write_sets
    from mapl_explore.files import require_other

    require_output(arguments.output)
    require_other(arguments.source, arguments.output)
    require_new("OUT", arguments.output, arguments)
    reading = read_all(arguments.source, format=arguments.format, threshold=arguments.threshold)
    require_sets(arguments.source, reading)
    without = arguments.without_scores
    write_sets(arguments.output, [replace(one, scores=None) for one in reading.sets] if without else reading.sets)
    if reading.ungraded and not without:
        note(f"{reading.ungraded}; nothing can be trained on that, and --without-scores leaves them out")
    print(f"{reading}, written to {arguments.output}")


def _world(arguments: argparse.Namespace) -> None:
    from mapl_explore.data import require_output, write_sets
    from mapl_explore.data.world import world_sets
    from mapl_explore.files import counted

    require_output(arguments.output)
    require_new("OUT", arguments.output, arguments)
    names = ["n", "seed", "split", "distractors", "agreement", "noise", "per_side"]
    write_sets(arguments.output, world_sets(**{name: getattr(arguments, name) for name in names}))
    print(f"{counted(arguments.n, 'set')} written to {arguments.output}")


def _sample(arguments: argparse.Namespace) -> None:
    from mapl_explore.files import counted
    from mapl_explore.sampling.answers import sample_sets

    names = ["model", "k", "reference", "threshold", "draws", "fallback", "duplicates", "max_tokens", "temperature"]
    names += ["seed", "chat", "batch_size", "device", "precision", "overwrite"]
    options = {name: getattr(arguments, name) for name in names}
    sets, report = sample_sets(arguments.source, arguments.output, verifier=arguments.verifier, **options)
    print(f"{report}\n{counted(len(sets), 'set')} written to {arguments.output}; the first:\n{report.first}")
    if arguments.draws is not None:
        print(f"every draw written to {arguments.draws}")
    if arguments.chat != "auto":
        way = f"--chat {arguments.chat}"
        print(f"prompts are written as they were: score, select, tau and finetune need {way} with these sets too")
