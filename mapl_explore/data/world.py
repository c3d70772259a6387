"""A small made-up world of questions with right and wrong answers, so that "better" can be measured.

A prompt shows numbered passages about one person and asks for a fact. One passage is official and true; the others come
from a forum, are wrong, and often repeat each other::

    [1] forum: Kelta Maren lives in Oslo.
    [2] official: Kelta Maren lives in Lima.
    [3] forum: Kelta Maren lives in Oslo.
    Where does Kelta Maren live?
    Answer:

A response starts with a space, so that prompt and response meet where a byte-level tokenizer cuts anyway. RoseRAG
(arXiv:2502.10993) asks how well models answer as the number of such passages grows.
"""

import math
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from numbers import Integral, Real

from mapl_explore.data import PreferenceSet

OFFICIAL, FORUM = "official", "forum"
MOST_DISTRACTORS = 8  # a passage's number is one digit, and so one token


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# A name is two words, and a word an opening and an ending: 160,000 people from 40 pieces that all splits share.
OPENINGS = _words("Bal Cor Dav Fen Gar Hol Jun Kel Lor Mar Nol Pel Quin Rul Sel Tam Ulm Ver Wil Zan")
ENDINGS = _words("ba da den dro go ka kin la lo men mi bik po ren so ta tis vo wen zu")
# By the sum of a name's four pieces, mod 10.
SPLITS = {"train": range(0, 8), "validation": range(8, 9), "test": range(9, 10)}


@dataclass(frozen=True)
class Topic:
    """One kind of fact: how it is stated, how it is asked for, and what it can be."""

    verb: str
    question: str
    values: tuple[str, ...]


TOPICS = (
    Topic(
        "lives in",
        "Where does {} live?",
        _words("Athens Cairo Delhi Dublin Havana Kyoto Lima Lisbon Oslo Prague Quito Riga Seoul Sofia Tunis Vienna"),
    ),
    Topic(
        "works as a",
        "What is the job of {}?",
        _words("baker butcher dentist farmer judge lawyer miner nurse painter pilot plumber sailor tailor teacher"),
    ),
    Topic(
        "plays the",
        "Which instrument does {} play?",
        _words("banjo cello clarinet drum fiddle flute guitar harp horn lute oboe organ piano trumpet tuba violin"),
    ),
    Topic(
        "wears only",
        "Which colour does {} wear?",
        _words("black blue brown crimson gold green grey orange pink purple red silver teal violet white yellow"),
    ),
    Topic(
        "keeps a",
        "Which animal does {} keep?",
        _words("canary cat dog donkey ferret goat goose hamster horse lizard parrot pigeon rabbit snake spider turtle"),
    ),
    Topic(
        "eats mostly",
        "What does {} eat?",
        _words("beans bread cake cheese corn eggs fish fruit honey nuts pasta rice salad soup stew tofu"),
    ),
    Topic(
        "was born in",
        "In which month was {} born?",
        _words("January February March April May June July August September October November December"),
    ),
    Topic(
        "studies",
        "What does {} study?",
        _words("algebra art botany chemistry ethics geology grammar history latin law logic music optics physics"),
    ),
)

PLAIN_ANSWERS = (" {value}.", " The answer is {value}.", " {statement}.")
CITED_ANSWERS = (" {value} [{number}].", " {statement} [{number}].", " According to [{number}], {value}.")


@dataclass(frozen=True)
class Passage:
    """What one source says."""

    source: str
    value: str


@dataclass(frozen=True)
class Case:
    """One question about one person, with the passages to answer it from."""

    person: str
    topic: Topic
    passages: tuple[Passage, ...]

    @property
    def prompt(self) -> str:
        """The text that a model is shown."""
        return "\n".join([*self.lines, self.topic.question.format(self.person), "Answer:"])

    @property
    def lines(self) -> list[str]:
        """The passages as text."""
        return [
            f"[{number}] {passage.source}: {self.statement(passage.value)}."
            for number, passage in enumerate(self.passages, start=1)
        ]

    @property
    def right(self) -> int:
        """The number of the official passage."""
        return 1 + [passage.source for passage in self.passages].index(OFFICIAL)

    def statement(self, value: str) -> str:
        """Return the fact as a sentence without its full stop."""
        return f"{self.person} {self.topic.verb} {value}"

    def answers(
        self, number: int, *, cite: int | None = None, forms: Sequence[str] = PLAIN_ANSWERS + CITED_ANSWERS
    ) -> list[str]:
        """Return the ways to give what passage ``number`` says, citing it, or passage ``cite`` instead."""
        value = self.passages[number - 1].value
        return [f.format(value=value, statement=self.statement(value), number=cite or number) for f in forms]


def world_sets(
    n: int,
    *,
    seed: int,
    split: str = "train",
    distractors: int = 2,
    agreement: float = 0.8,
    noise: float = 0.0,
    per_side: int = 4,
) -> list[PreferenceSet]:
    """Return made-up preference sets, the same ones for the same arguments.

    The positives are right responses in different words, some of which cite the official passage. The negatives are
    wrong in four ways, in turn: they say what the forum's majority says, or another forum passage; they cite a wrong
    passage for the right value; or they are a fluent sentence that does not answer the question.

    Parameters
    ----------
    n : int
        How many sets, at least 1. The first sets of a longer list are those of a shorter one.
    seed : int
        Decides the sets, any whole number.
    split : {"train", "validation", "test"}
        Whom to ask about: no person stands in two splits, but all names are made of the same pieces.
    distractors : int
        How many forum passages stand next to the official one, 0 to 8.
    agreement : float
        The probability, in [0, 1], that a further forum passage repeats what the first one says.
    noise : float
        The probability, in [0, 1], that the two sides of a set are exchanged.
    per_side : int
        How many positives and how many negatives a set has, 1 to 6.

    Returns
    -------
    list of PreferenceSet

    Raises
    ------
    TypeError
        If an argument is no number of its kind.
    ValueError
        If an argument is outside its range.

    Examples
    --------
    >>> from mapl_explore.data.world import is_right
    >>> one = world_sets(1, seed=0)[0]
    >>> [is_right(one.prompt, answer) for answer in one.positives + one.negatives]
    [True, True, True, True, False, False, False, False]
    """
    _check("n", n, 1, None)
    _check("noise", noise, 0, 1, Real)
    _check("per_side", per_side, 1, len(PLAIN_ANSWERS + CITED_ANSWERS))
    rng = random.Random(f"{seed} {split} sets")
    sets = []
    for case in world_cases(n, seed=seed, split=split, distractors=distractors, agreement=agreement):
        positives = rng.sample(case.answers(case.right), per_side)
        negatives = wrong_answers(case, per_side, rng)
        if rng.random() < noise:
            positives, negatives = negatives, positives
        sets.append(PreferenceSet(case.prompt, positives, negatives))
    return sets


def world_cases(
    n: int, *, seed: int, split: str = "train", distractors: int = 2, agreement: float = 0.8
) -> Iterator[Case]:
    """Yield made-up questions; the arguments are those of :func:`world_sets`."""
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
    _check("seed", seed, -math.inf, None)
    _check("distractors", distractors, 0, MOST_DISTRACTORS)
    _check("agreement", agreement, 0, 1, Real)
    rng = random.Random(f"{seed} {split}")
    return (_case(rng, split, distractors, agreement) for _ in range(n))


def is_right(prompt: str, response: str) -> bool:
    """Return whether a response to a prompt of this world is right, judged by the two texts alone.

    It is right if it names the official value and no other value of that kind, and cites no passage but the official
    one.

    Parameters
    ----------
    prompt : str
        A prompt of :func:`world_sets`.
    response : str
        Any text.

    Returns
    -------
    bool

    Raises
    ------
    ValueError
        If the prompt is not one of this world.

    Examples
    --------
    >>> prompt = '''[1] forum: Kelta Maren lives in Oslo.
    ... [2] official: Kelta Maren lives in Lima.
    ... Where does Kelta Maren live?
    ... Answer:'''
    >>> is_right(prompt, " Lima."), is_right(prompt, " According to [1], Lima."), is_right(prompt, " Oslo.")
    (True, False, False)
    """
    case = case_of(prompt)
    named = set(re.findall(r"\w+", response)) & set(case.topic.values)
    cited = set(re.findall(r"\[(.*?)\]", response))
    return named == {case.passages[case.right - 1].value} and cited <= {str(case.right)}


def case_of(prompt: str) -> Case:
    """Return the question that a prompt of this world asks."""
    *lines, question, _ = prompt.split("\n") if prompt.count("\n") > 1 else ("", "", "")
    for topic in TOPICS:
        asked = re.fullmatch(re.escape(topic.question).replace(r"\{\}", r"(\w+ \w+)"), question)
        passage = rf"\[\d\] (\w+): \w+ \w+ {topic.verb} ({'|'.join(topic.values)})\."
        stated = [match for match in (re.fullmatch(passage, line) for line in lines) if match]
        if asked and len(stated) == len(lines):
            case = Case(asked[1], topic, tuple(Passage(*match.groups()) for match in stated))
            if case.prompt == prompt and [passage.source for passage in case.passages].count(OFFICIAL) == 1:
                return case
    raise ValueError(f"the prompt must be one of the small world, but is {prompt[:80]!r}")


def wrong_answers(case: Case, count: int, rng: random.Random) -> list[str]:
    """Return wrong responses of all kinds that the case has, as evenly as possible, in random order."""
    grades = [rng.sample(grade, len(grade)) for grade in _wrong_by_grade(case, rng)]
    in_turn = [answer for row in zip_longest(*grades) for answer in row if answer is not None]
    chosen = list(dict.fromkeys(in_turn))[:count]
    return rng.sample(chosen, len(chosen))


def _wrong_by_grade(case: Case, rng: random.Random) -> list[list[str]]:
    forum = [number for number, passage in enumerate(case.passages, start=1) if passage.source == FORUM]
    counts = Counter(case.passages[number - 1].value for number in forum)
    rumour = max(counts, key=lambda value: counts[value], default=None)
    believed = [number for number in forum if case.passages[number - 1].value == rumour]
    others = [number for number in forum if number not in believed]
    elsewhere = [number for number in range(1, max(2, len(case.passages)) + 1) if number != case.right]
    return [
        [answer for number in believed for answer in case.answers(number)],
        [answer for number in others for answer in case.answers(number)],
        case.answers(case.right, cite=rng.choice(elsewhere), forms=CITED_ANSWERS),
        _off_topic(case, rng),
    ]


def _off_topic(case: Case, rng: random.Random) -> list[str]:
    topics = [topic for topic in TOPICS if topic != case.topic]
    return [f" {case.person} {topic.verb} {rng.choice(topic.values)}." for topic in topics]


def _case(rng: random.Random, split: str, distractors: int, agreement: float) -> Case:
    topic = rng.choice(TOPICS)
    truth, rumour, *fresh = rng.sample(topic.values, distractors + 2)
    passages = [Passage(OFFICIAL, truth)]
    for turn in range(distractors):
        repeats = turn == 0 or rng.random() < agreement
        passages.append(Passage(FORUM, rumour if repeats else fresh.pop()))
    rng.shuffle(passages)
    return Case(_person(rng, split), topic, tuple(passages))


def _person(rng: random.Random, split: str) -> str:
    first, second, third = (rng.randrange(len(OPENINGS)) for _ in range(3))
    # The last piece is chosen so that the name is in the split: no name has to be drawn again.
    last = (rng.choice(SPLITS[split]) - first - second - third) % 10 + rng.choice((0, 10))
    return f"{OPENINGS[first]}{ENDINGS[second]} {OPENINGS[third]}{ENDINGS[last]}"


def _check(name: str, value: float, low: float, high: float | None, kind: type = Integral) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {'a whole' if kind is Integral else 'a real'} number, not {value!r}")
    if not (low <= value and (high is None or value <= high)):
        raise ValueError(
            f"{name} must be at least {low}" + f" and at most {high}" * (high is not None) + f", not {value}"
        )
