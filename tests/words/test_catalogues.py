"""The catalogues: each has every sentence of the code, whole, and nothing else."""

import ast
import re
import string
from pathlib import Path

import pytest
import words

from mapl_explore.explorers.view import script
from mapl_explore.words import CATALOGUES, languages

PACKAGE = Path(words.ROOT) / "mapl_explore"
MARKS = ("_", "N_", "ngettext")
PATHS = sorted(CATALOGUES.glob("*.po"))
TAG = re.compile(r"</?\w+>|&\w+;")


@pytest.fixture(scope="module")
def sentences():
    return {message.id for message in words.sentences() if message.id}


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def catalogue(request):
    return words.read(request.param)


def marked(tree):
    """Return what is marked for catalogues in a source, in whatever expression it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) in MARKS:
            texts = [one.value for one in node.args if isinstance(one, ast.Constant)]
            assert all(isinstance(one, ast.Constant) for one in node.args[: len(texts)])
            if texts:
                yield texts[0] if node.func.id != "ngettext" else tuple(texts)


def fields(text):
    return sorted((name, spec, how) for _, name, spec, how in string.Formatter().parse(text) if name is not None)


def several(text):
    return text if isinstance(text, tuple) else (text,)


def test_what_the_code_marks_is_what_the_tool_finds(sentences):
    found = set()
    for path in PACKAGE.rglob("*.py"):
        if "shipped" not in path.parts:
            found |= set(marked(ast.parse(path.read_text(encoding="utf-8"))))
    assert found | set(re.findall(r'\b_\("([^"]*)"\)', script())) == sentences


def test_no_sentence_ends_with_a_space(sentences):
    assert [text for one in sentences for text in several(one) if text != text.rstrip()] == []


def test_a_catalogue_has_every_sentence_and_no_other(catalogue, sentences):
    assert {message.id for message in catalogue if message.id} == sentences
    assert not catalogue.obsolete
    assert [message.id for message in catalogue if message.fuzzy] == []


def test_every_sentence_is_translated_with_its_placeholders_its_tags_and_its_ends(catalogue):
    for message in catalogue:
        if not message.id:
            continue
        original = several(message.id)[0]
        assert all(several(message.string)), original
        for text in several(message.string):
            assert fields(text) == fields(original)
            assert sorted(TAG.findall(text)) == sorted(TAG.findall(original))
            assert re.match(r"[\s,;]*", text).group() == re.match(r"[\s,;]*", original).group()
            assert (text[-1] in ".?:…") == (original[-1] in ".?:…"), text


def test_the_tool_leaves_translations_as_they_are(tmp_path, capsys):
    for path in PATHS:
        copy = tmp_path / path.name
        copy.write_bytes(path.read_bytes())
        words.bring_up_to_date(copy)
        before, after = ({one.id: one.string for one in words.read(file) if one.id} for file in (path, copy))
        assert before == after


def test_the_tool_makes_a_catalogue_of_a_new_language(tmp_path, capsys, sentences):
    words.bring_up_to_date(tmp_path / "fr.po")
    made = words.read(tmp_path / "fr.po")
    assert {message.id for message in made if message.id} == sentences
    assert made.num_plurals == 2
    assert f"{len(sentences)} without a translation" in capsys.readouterr().out


def test_there_are_english_and_what_has_a_catalogue():
    assert languages() == sorted(["en", *(path.stem for path in PATHS)])
