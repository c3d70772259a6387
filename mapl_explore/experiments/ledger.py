"""The ledger: what became of claims, made from plans and the results that were recorded of them.

FOLDER/NAME.toml            a plan with the claims that it decides
FOLDER/results/NAME.json    the report of its comparison, without the names of runs
FOLDER/caveats.md           what a reader must know of these plans, if anything; the ledger has it before its table
"""

import json
import os
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mapl_explore.experiments.claims import ALIKE, DIFFERENT, OF_WHOLE_ARMS, Claim
from mapl_explore.experiments.grid import title_of
from mapl_explore.experiments.plan import Plan, read_plan
from mapl_explore.experiments.report import REPORT, with_interval
from mapl_explore.experiments.shares import VARIANCE
from mapl_explore.files import read_json, shortened, write_json
from mapl_explore.runs.record import label_of

RESULTS = "results"
RUNS = "runs/evidence"  # where the commands of the ledger put their runs
CAVEATS = "caveats.md"
COLUMNS = ("plan and claim", "quotation", "tested here", "effect [95 %]", "verdict")
AFTER = "†"
LONGEST_QUOTATION = 130  # characters, in the table
HEAD = """# Ledger of claims

What others say of losses on pairs and sets of responses, and what a test of it gave here: with the data and the model
of each plan, and with nothing else. `mapl-explore ledger {folder}` makes this page from the plans in `{folder}` and the
results that are recorded next to them.

**Verdict.** It is that of *our test*, which the table has in a few words and the section whole, and not that of the
quotation, which may say more, or something else. A claim *holds* here where all of the 95 % interval lies on the side
of 0 that the test names, or on either where it names none; it *fails* where all of it lies on the other side; else it
is *undecided*, as it is with fewer than 8 seeds. Undecided is not “no effect”: the interval has what the runs could
not exclude, up to its ends. A claim that two arms are alike *fails* where the interval leaves out 0 and else is
undecided: it can never hold, as no margin was set within which a difference counts as none. {after} marks a claim that
was added, or whose rule was changed, when something of its result was known; “Set after” in its section says what.

**Effect.** The mean difference of an arm to another one in the same cell of its plan, or to the model before training,
over seeds and test questions; where 80 % are right, the difference of what their mean learning curves have there. For
its interval seeds and questions are drawn again, for an effect on the gradient the seeds alone. KL and entropy are
estimated from one response to each question, sampled from the trained model: KL is its log-prob less that under the
base, entropy minus its log-prob, each divided by its number of tokens. Then the mean over responses is taken, in which
a short one counts as much as a long one. An effect on shares of the variance is the share of the learning rate less
that of the loss, on the questions that choose the rates.
"""
NOT_RUN = "not run yet"
IS_SO = {DIFFERENT: "differs from", ALIKE: "is like"}


class Entry(NamedTuple):
    """A claim and what came of it."""

    title: str
    claim: Claim
    brief: str
    test: str
    rates: str
    effect: str
    measure: str
    seeds: str
    verdict: str
    command: str

    @property
    def told(self) -> str:
        """Return the effect with what it is of, and the seeds."""
        return self.effect if self.verdict == NOT_RUN else f"{self.effect} {self.measure}, {self.seeds} seeds"

    def heading(self, number: int) -> str:
        """Return the title of the section."""
        return f"{number}. {self.title}: {self.verdict}"

    def row(self, number: int) -> Sequence[str]:
        """Return the line of the table."""
        link = f"[{number}. {self.title}](#{_anchor(self.heading(number))}){f' {AFTER}' if self.claim.after else ''}"
        return link, f"“{_cut(self.claim.words)}”", self.brief, self.told, self.verdict

    def section(self, number: int) -> str:
        """Return all that belongs to the claim."""
        after = f"\n- Set after {self.claim.after}." if self.claim.after else ""
        effect = "" if self.verdict == NOT_RUN else f"\n- Effect: {self.told}"
        return f"""## {self.heading(number)}

> {self.claim.words}

{self.claim.source}

- Their scale: {self.claim.scale}
- Our test: {self.test}{after}
- Learning rates: {self.rates}{effect}
- Again: `{self.command}`"""


def ledger_of(folder: str | os.PathLike) -> str:
    """Return the ledger of a folder of plans, in Markdown: a row and a section for each claim.

    Raises
    ------
    ValueError, TypeError, OSError
        If a plan or a result cannot be read, or a result is not that of its plan as it is now.
    """
    entries = [entry for path in plans_in(folder) for entry in entries_of(path)]
    rows = [COLUMNS, ["---"] * len(COLUMNS), *(one.row(number) for number, one in enumerate(entries, 1))]
    table = [f"| {' | '.join(map(_in_table, row))} |" for row in rows]
    sections = [one.section(number) for number, one in enumerate(entries, 1)]
    return "\n".join([*_head(Path(folder)), *table, "", "\n\n".join(sections)]) + "\n"


def _head(folder: Path) -> list[str]:
    caveats = folder / CAVEATS
    own = [caveats.read_text(encoding="utf-8")] if caveats.exists() else []
    return [HEAD.format(folder=folder.as_posix(), after=AFTER), *own]


def plans_in(folder: str | os.PathLike) -> list[Path]:
    """Return the plans of a folder, by name; raise where there is none."""
    found = sorted(Path(folder).glob("*.toml"))
    if not found:
        raise FileNotFoundError(f"there is no plan in {os.fspath(folder)!r}: a file that ends in .toml")
    return found


def result_of(path: Path, plan: Plan) -> dict[str, Any] | None:
    """Return the recorded result of the plan at a path, None where there is none yet.

    Raises
    ------
    ValueError
        If it is not that of the plan as it is now, or lacks runs.
    """
    file = path.parent / RESULTS / f"{path.stem}.json"
    return _fitting(file, plan) if file.exists() else None


def record(folder: str | os.PathLike, reports: str | os.PathLike) -> list[Path]:
    """Record the reports that ``compare`` has written for the plans of a folder, and return the files of results.

    Parameters
    ----------
    folder : path
        Of the plans.
    reports : path
        What ``compare`` had as its output; a plan without a report there keeps the result that it has.

    Raises
    ------
    ValueError
        If a report is not that of its plan as it is now, or lacks runs; then nothing is written.
    """
    found = {path: Path(reports) / "reports" / path.stem / REPORT for path in plans_in(folder)}
    results = {path: _fitting(file, read_plan(path)) for path, file in found.items() if file.exists()}
    if not results:
        raise FileNotFoundError(f"there is no report of a plan of {os.fspath(folder)!r} in {os.fspath(reports)!r}")
    (Path(folder) / RESULTS).mkdir(exist_ok=True)
    return [_written(path.parent / RESULTS / f"{path.stem}.json", result) for path, result in results.items()]


def _written(file: Path, result: Mapping[str, Any]) -> Path:
    rows = [{name: value for name, value in row.items() if name != "runs"} for row in result["arms"]]
    kept = {name: value for name, value in result.items() if name != "failures"} | {"arms": rows}
    write_json(file, kept)
    return file


def _fitting(file: Path, plan: Plan) -> dict[str, Any]:
    """Return a report or a result, if it is whole and that of a plan as it is now."""
    try:
        result = read_json(file)
        fault = _misfit(plan, result)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file}: not the report of a comparison ({type(error).__name__}: {error})") from None
    if fault:
        raise ValueError(f"{file}: {fault}")
    return result


def _misfit(plan: Plan, result: Mapping[str, Any]) -> str | None:
    """Return why a result is not that of a plan, None where it is."""
    asked = json.loads(json.dumps(plan.as_record, default=str))
    other = [name for name in asked | result["plan"] if asked.get(name) != result["plan"].get(name)]
    if other:
        return f"it is of another plan: {', '.join(other)} differ; run the plan again"
    places = [(row["arm"], row["cell"]) for row in result["arms"]]
    if places != [(arm.name, arm.cell) for arm in plan.arms]:
        return f"its rows are not the arms of the plan: {shortened(places)}"
    for claim in plan.claims:
        known = result["claims"].get(claim.id, {})
        if any(known.get(name) != value for name, value in claim.rule.compared.items()):
            return f"it does not compare what claim {claim.id!r} does; the same comparison will, without new runs"
    lacking = [row for row in result["arms"] if row["seeds"] < len(plan.seeds)]
    if lacking:
        some = f"{lacking[0]['seeds']} of {len(plan.seeds)} seeds of arm {lacking[0]['arm']!r}"
        return f"it lacks runs: it has {some}; the same comparison goes on with them"
    return None


def entries_of(path: Path) -> Iterator[Entry]:
    """Give the entry of each claim of the plan at a path."""
    plan = read_plan(path)
    result = result_of(path, plan)
    for claim in plan.claims:
        command = f"mapl-explore compare {path.as_posix()} --output {RUNS}"
        rule = _rule(claim, plan)
        told = claim.brief or rule, f"{claim.test} Holds if {rule}.", _rates(claim, plan, result)
        yield Entry(f"{path.stem}, {claim.id}", claim, *told, *_outcome(claim, plan, result), command)


def _rule(claim: Claim, plan: Plan) -> str:
    """Return what must be so if the claim is to hold."""
    place = f" at {title_of(claim.rule.cell)}" if claim.rule.cell else ""
    measure = f" by {_label(claim.rule.measure, *plan.losses)}" if claim.rule.measure != plan.measure else ""
    is_so = IS_SO.get(claim.rule.expected, f"is {claim.rule.expected} than")
    return f"`{claim.rule.arm}` {is_so} `{claim.rule.than}`{measure}{place}"


def _rates(claim: Claim, plan: Plan, result: Mapping[str, Any] | None) -> str:
    """Return the learning rates that were tried, and which were chosen for the arms of the claim."""
    grid = ", ".join(f"{lr:g}" for lr in plan.lr)
    if claim.rule.measure == VARIANCE:
        return f"all of {grid} for each arm"
    tried = f"the best of {grid} for each arm" if len(plan.lr) > 1 else "one for all"
    rows = [row for row in result["arms"] if row["cell"] == claim.rule.cell] if result else []
    chosen = [f"`{row['arm']}` {row['lr']:g}" for row in rows if row["arm"] in (claim.rule.arm, claim.rule.than)]
    return "; ".join([tried, *chosen])


def _outcome(claim: Claim, plan: Plan, result: Mapping[str, Any] | None) -> tuple[str, str, str, str]:
    """Return effect, what it is of, seeds and verdict."""
    label = _label(claim.rule.measure, *plan.losses)
    if result is None:
        return "-", label, "-", NOT_RUN
    found = result["claims"][claim.id]
    effect = with_interval(found["difference"], found["difference_interval"], "+")
    return effect, label, str(found["seeds"]), claim.rule.decided(found["verdict"])


def _label(measure: str, *losses: str) -> str:
    return OF_WHOLE_ARMS.get(measure) or label_of(measure, *losses)


def _cut(words: str) -> str:
    """Return a quotation for the table: without emphasis, which a cut may break, and not too long."""
    plain = re.sub(r"[*`]", "", words)
    return textwrap.shorten(plain, LONGEST_QUOTATION, placeholder=" …", break_on_hyphens=False)


def _anchor(heading: str) -> str:
    """Return the anchor of a heading, as GitHub and the site name it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _in_table(text: str) -> str:
    return text.replace("|", "\\|")
