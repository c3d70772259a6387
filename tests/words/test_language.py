"""The language of what is shown: how it is chosen, and that it is there in every word."""

import gettext
import io
import re
import subprocess
import sys
import threading
import zipfile
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
import words
from every_explorer import MAKERS
from explorer_controls import press
from ipywidgets import HTML, Widget

from mapl_explore.course.lessons import check, own_words, predict
from mapl_explore.course.marks import sign
from mapl_explore.course.sealed import sealed_text, sealed_value
from mapl_explore.explorers import BoundsExplorer, LossExplorer
from mapl_explore.explorers.gallery import Gallery
from mapl_explore.explorers.knobs import Choice
from mapl_explore.files import write_json
from mapl_explore.losses import LOSSES
from mapl_explore.plots import RunCurves, run_figure
from mapl_explore.plots.panels import Words
from mapl_explore.serving.browser_python import own_wheel
from mapl_explore.words import CATALOGUES, VARIABLE, language, languages, ngettext
from mapl_explore.words import choice as spoken_words

LETTERS = re.compile(r"[^\W\d_]{2,}")
RULES = {"upper", "lower", "exact", "asymptote", "share", "certain"}  # in lines of text they are named as in code
CALL = re.compile(r"\b[A-Z]\w*\([^()]*\)")


@pytest.fixture(autouse=True)
def _chosen(monkeypatch):
    monkeypatch.setattr(spoken_words, "_chosen", None)
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture(scope="module")
def foreign():
    """The English words that no German sentence has; short names of code and of losses are both."""
    german, english = set(), set()
    for message in words.read(CATALOGUES / "de.po"):
        for texts, found in ((message.id, english), (message.string, german)):
            for text in texts if isinstance(texts, tuple) else (texts,):
                found |= set(LETTERS.findall(re.sub(r"\{.*?\}|<.*?>", " ", text).lower()))
    return english - german


class Visible(HTMLParser):
    """The texts of a page, and what it says to those who do not see it."""

    def __init__(self, html):
        super().__init__()
        self.texts, self.code = [], 0
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.code += tag == "code"
        self.texts += [value for name, value in attributes if name in ("aria-label", "title")]

    def handle_endtag(self, tag):
        self.code -= tag == "code"

    def handle_data(self, data):
        self.texts += [] if self.code else [data]


def in_pictures(panels):
    for panel in panels:
        yield from (panel.name, panel.title, panel.x.label, panel.y.label)
        yield from (text for axis in (panel.x, panel.y) for _, text in axis.ticks)
        for mark in panel.marks:
            yield mark.label
            yield from mark.texts if isinstance(mark, Words) else ()


def in_controls(widget):
    yield from widget.spoken.values()
    for button in widget.buttons:
        yield from (button["text"], button["tip"])
    for knob in widget.knobs:
        yield from (knob["label"], knob["help"], knob.get("unit", ""))
        for option in widget.options.get(knob["name"], ()):
            yield knob["labels"].get(option, option)


def visible(explorer, settings):
    reading = explorer.read(settings)
    yield from in_pictures(explorer.panels(reading))
    yield explorer.text(reading)
    yield from Visible(explorer.html(reading)).texts
    yield from explorer.headline(reading)


def settings_of(explorer):
    """The start, and every control at its ends and its options."""
    yield explorer.settings
    for knob in explorer._knobs.values():
        values = knob.options if isinstance(knob, Choice) else (knob.low, knob.high)
        for value in values:
            yield explorer.settings | explorer.follow(knob.name, value) | {knob.name: value}


def names_taken_out(text):
    """Return a text without the names of losses, and without code."""
    while (shorter := CALL.sub(" ", text)) != text:
        text = shorter
    for name in sorted(LOSSES, key=len, reverse=True):
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", " ", text)
    return text


def english(texts, foreign):
    found = {text: set(LETTERS.findall(names_taken_out(text).lower())) & foreign for text in texts}
    return {text: ours for text, ours in found.items() if ours}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in MAKERS])
def test_an_explorer_in_german_shows_no_english_word(name, foreign):
    language("de")
    explorer = MAKERS[name]()
    assert english(in_controls(explorer.widget), foreign) == {}
    assert explorer.widget.language == "de"
    for settings in settings_of(explorer):
        # A rule is named as in code in the line of text.
        assert english(visible(explorer, settings), foreign - RULES) == {}
    for label in explorer.actions():
        press(explorer, label)
    explorer.pin()
    explorer.set(**explorer._start)
    assert english(Visible(explorer.widget.says).texts, foreign) == {}
    Widget.close_all()


def test_what_is_looked_for_is_found(foreign):
    assert english(in_controls(BoundsExplorer().widget), foreign)
    assert {"smoothing", "pin", "responses", "weights"} <= foreign


@pytest.mark.parametrize("name", ["bounds", "loss", "pairs", "precision", "smooth max", "temperature", "training"])
def test_an_explorer_keeps_its_language_and_the_next_one_has_the_new_one(name):
    before = MAKERS[name]()
    language("de")
    after = MAKERS[name]()
    for explorer, pinned in ((before, "Since the pin"), (after, "Seit dem Anheften")):
        texts = repr(explorer), explorer.widget.says
        explorer.pin()
        assert pinned in explorer.widget.says
        language("en" if explorer is after else "de")
        thread = threading.Thread(target=explorer.do, args=({"kind": "pin"},))
        thread.start()
        thread.join()
        assert (repr(explorer), explorer.widget.says) == texts
        labels = [axes.get_xlabel() for axes in explorer.snapshot().axes]
        assert labels == [panel["x"]["label"] for panel in explorer.widget.picture["panels"]]


def test_what_is_wrong_with_a_typed_number_is_said_in_the_language_of_the_explorer():
    language("de")
    explorer = BoundsExplorer()
    language("en")
    explorer.widget._received(None, {"kind": "set", "knob": "tau", "value": "1,5"}, [])
    assert explorer.widget.answer["error"] == (
        "inverse Temperatur τ muss eine Zahl mit Punkt statt Komma sein, etwa 5.0, nicht '1,5'"
    )


def test_code_that_is_copied_and_the_options_that_code_names_stay_as_they_are():
    language("de")
    explorer = LossExplorer(curves="weights")
    assert explorer._program().splitlines()[-1] == (
        "LossExplorer(loss='dpo-smooth', beta=0.1, tau=1, moved='all positives', shift=0, curves='weights')"
    )
    press(explorer, "hard pair")
    assert explorer.settings["loss"] == "dpo-hardest"
    assert next(iter(explorer.to_frame().columns)) == "moved_by"


def test_the_page_of_explorers_speaks_german_and_its_address_stays():
    language("de")
    gallery = Gallery(address="explorer=Error bounds&tau=1e9")
    assert gallery.widget.titles[:2] == ("Glattes Maximum", "Fehlerschranken")
    [stage] = gallery.stages.values()
    assert stage.widget.title == "Error bounds"
    assert stage.widget.answer["error"].startswith("die Adresse: inverse Temperatur τ muss")
    late = gallery.widget.children[0].children[0]
    assert isinstance(late, HTML)
    assert "Python antwortet nicht" in late.value


def test_questions_are_framed_in_german(tmp_path, monkeypatch, foreign):
    monkeypatch.chdir(tmp_path)
    entry = sealed_value(np.array(0.37), rtol=0.01, sides=True, rounds=10)
    told = {"kind": "a number", "shape": [], "rtol": 0.01, "hint": "", "low": "LOW", "high": "HIGH"}
    write_json(tmp_path / "answers.json", {"01-A": entry | told, "01-words-1": sealed_text("TEXT", rounds=10)})
    language("de")
    guess = predict("QQ?", ["AA", "BB"], "AA", why="WW")
    words_asked = own_words("What is wrong?", key="01-words-1")
    language("en")  # what is there keeps its language
    guess._radio.value = "BB"
    guess._reveal(None)
    words_asked._text.value = "NN"
    words_asked._show(None)
    language("de")
    shown = [guess._button.description, guess._button.tooltip, guess._html(), guess._verdict.value]
    shown += [words_asked._button.description, words_asked._button.tooltip, words_asked._text.placeholder]
    shown += [words_asked.widget.children[0].value, words_asked._answer.value]
    shown += [check("A", given, 0.37)._repr_html_() for given in (None, 0.37, 0.3, "x", [0.3], float("nan"))]
    shown += [check("A", given, key="01-A")._repr_html_() for given in (0.3, 0.37, None)]
    shown += [check("A", "x", "small", choices=["small"])._repr_html_().replace("small", "")]
    shown += [check("A", [1], [[1, 2]])._repr_html_(), sign(""), sign("Ada")]
    texts = [
        re.sub(r"\b(A|answers\.json|marks\.json|Ada|nan)\b", " ", text) for one in shown for text in Visible(one).texts
    ]
    assert english([text for text in texts if "mapl-predict" not in text], foreign) == {}
    assert "Deine Vermutung: „BB“. Richtig ist „AA“" in guess._verdict.value
    assert "Was ist falsch?" in words_asked.widget.children[0].value
    assert repr(check("A", 0.3, 0.37)) == "A: noch nicht"


def test_one_and_several_are_told_apart():
    language("de")
    texts = ("{count} minute left", "{count} minutes left")
    assert [ngettext(*texts, count) for count in (1, 2)] == ["noch {count} Minute", "noch {count} Minuten"]


@pytest.mark.parametrize("name", ["xx", "../de", ""])
def test_a_language_that_is_not_there_is_refused_with_those_that_are(name):
    with pytest.raises(ValueError, match=f"^language must be one of {', '.join(languages())}, not {name!r}$"):
        language(name)
    assert language() == "en"


def test_a_language_is_a_name():
    with pytest.raises(TypeError, match=r"^language must be a string, such as 'de', not 3$"):
        language(3)


def test_the_environment_chooses_and_what_it_chooses_is_checked(monkeypatch):
    monkeypatch.setenv(VARIABLE, "de")
    assert language() == "de"
    monkeypatch.setattr(spoken_words, "_chosen", None)
    monkeypatch.setenv(VARIABLE, "xx")
    with pytest.raises(ValueError, match=f"^MAPL_LANGUAGE must be one of {', '.join(languages())}, not 'xx'$"):
        BoundsExplorer()


def test_english_reads_no_catalogue():
    code = (
        "import sys; from mapl_explore.explorers import BoundsExplorer; BoundsExplorer(); print('babel' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_without_babel_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "babel.messages.mofile", None)
    spoken_words._catalogue.cache_clear()
    with pytest.raises(ImportError, match=r"^language 'de' needs .*: pip install 'mapl_explore\[lab\]'$"):
        language("de")


def test_the_wheel_for_a_browser_has_the_catalogues_as_gettext_reads_them():
    with zipfile.ZipFile(io.BytesIO(own_wheel())) as wheel:
        read = gettext.GNUTranslations(io.BytesIO(wheel.read("mapl_explore/words/de.mo")))
    language("de")
    assert read._catalog == spoken_words.spoken().words._catalog
    assert unescape(read.gettext("pin")) == "anheften"


def test_the_pictures_of_runs_and_comparisons_have_their_labels_in_the_language():
    from mapl_explore.experiments.recorded import recorded
    from mapl_explore.runs.comparing import LOGGED
    from mapl_explore.runs.record import MEASURES, label_of

    labels = [*MEASURES.values(), *LOGGED.values()]
    language("de")
    assert [text for text in labels if spoken_words._(text) == text] == []
    assert label_of("hard_margin", "SimPO()", "DPO()", words=spoken_words._) == "harte Marge (nat oder nat je Token)"
    right, difference = (axes.get_xlabel() for axes in recorded("few").forest.axes)
    assert (right, difference) == ("Anteil der richtigen Greedy-Antworten", "Unterschied zu hardest")
    figure = run_figure([RunCurves("a", np.arange(4), {"loss": np.ones(4)}, {})], {"loss": "loss"})
    assert figure.get_supxlabel().startswith("Schritt ")
    assert label_of("loss", "DPO()") == "loss"  # tables stay English
