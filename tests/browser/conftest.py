"""One browser for all tests here, and for each file of them a lab and a page of explorers of its own."""

import pytest
from browser.browsing import APP, CHROMIUM, browsed, served


@pytest.fixture(scope="package")
def browser():
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH")
    with browsed() as browser:
        yield browser


# Not one for all files: a lab opens again what others had left open in it.
@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A lab on copies of the notebooks, with a home of its own: its address, and the folder with what it says."""
    folder = tmp_path_factory.mktemp("lab")
    with served(folder) as address:
        yield address, folder


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """The page of explorers: its address, and the folder with what its server says."""
    folder = tmp_path_factory.mktemp("app")
    with served(folder, APP) as address:
        yield address, folder
