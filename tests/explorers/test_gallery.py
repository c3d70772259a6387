"""The page of explorers: it opens where its address says."""

import pytest
from explorer_controls import move

from mapl_explore.explorers.gallery import PAGES, Gallery


def test_an_address_names_the_explorer_and_its_settings():
    gallery = Gallery(address="token=abc&explorer=Error%20bounds&tau=2.5&n=4&against=gap")
    assert list(gallery.stages) == ["Error bounds"]
    settings = gallery.stages["Error bounds"].settings
    assert {name: settings[name] for name in ("tau", "n", "against")} == {"tau": 2.5, "n": 4, "against": "gap"}


@pytest.mark.parametrize("address", ["", "token=abc", "explorer=Nowhere&x=1", "explorer"])
def test_an_address_that_names_no_explorer_opens_the_first(address):
    assert list(Gallery(address=address).stages) == [next(iter(PAGES))]


@pytest.mark.parametrize(
    ("value", "message"),
    [("1e9", "the address: inverse temperature τ must be a number in [0.1, 100], not '1e9'"), ("x", "not 'x'")],
)
def test_a_value_that_the_explorer_cannot_have_is_said_on_the_page(value, message):
    [stage] = Gallery(address=f"explorer=Error bounds&tau={value}").stages.values()
    assert stage.settings["tau"] == 5.0
    assert message in stage.widget.answer["error"]


def test_every_explorer_of_the_page_knows_its_title():
    gallery = Gallery()
    for title in PAGES:
        gallery.show(title)
        assert gallery.stages[title].widget.title == title
    move(gallery.stages["Pairs"], "strategy", "bell")
    gallery.show("Losses")
    gallery.show("Pairs")
    assert gallery.stages["Pairs"].settings["strategy"] == "bell"
