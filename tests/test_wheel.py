"""The wheel, built and unpacked away from the checkout: the course, the data and the page come with it."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"notebooks": "mapl_explore/shipped/notebooks", "data": "mapl_explore/shipped/data"}
BUILD = "import os, sys, hatchling.build; os.chdir(sys.argv[1]); print(hatchling.build.build_wheel(sys.argv[2]))"


pytestmark = pytest.mark.xdist_group("test_wheel")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The files of the wheel, where an installation would put them."""
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-c", BUILD, ROOT, folder], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def output(unpacked, code):
    """What a program says that finds the package of the wheel first, run from elsewhere."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(unpacked)}, cwd=unpacked.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def files(folder):
    hidden = {".ipynb_checkpoints", "__pycache__"}
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and not hidden & set(path.parts)}


@pytest.mark.parametrize(("here", "there"), FOLDERS.items())
def test_notebooks_and_data_are_in_the_wheel_byte_for_byte(unpacked, here, there):
    assert files(ROOT / here) <= files(unpacked / there)
    for path in files(ROOT / here):
        assert (unpacked / there / path).read_bytes() == (ROOT / here / path).read_bytes()


def test_the_package_is_in_the_wheel_whole_and_the_tests_are_not(unpacked):
    shipped = files(unpacked / "mapl_explore")
    assert files(ROOT / "mapl_explore") <= shipped
    assert {path.parts[0] for path in shipped - files(ROOT / "mapl_explore")} == {"shipped"}
    assert sorted(path.name.split("-")[0] for path in unpacked.iterdir()) == ["mapl_explore", "mapl_explore"]


def test_the_lab_of_the_wheel_opens_copies_of_its_notebooks(unpacked):
    said = output(unpacked, "from mapl_explore.serving import lab; print(lab._notebooks(student=False), lab.SHIPPED)")
    copies, shipped = map(Path, said)
    assert shipped == unpacked / FOLDERS["notebooks"]
    assert copies == unpacked.parent / "mapl_explore_notebooks"
    notebooks = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert {path.name for path in copies.iterdir()} == notebooks | {"GLOSSARY.md", "INSTRUCTOR.md"}


def test_the_page_of_the_wheel_is_where_its_server_looks(unpacked):
    code = "from mapl_explore.serving import app, server; print(server.SETTINGS); print(app.PLACE.rsplit('/', 1)[1])"
    settings, name = output(unpacked, code)
    assert (Path(settings) / "page" / name).is_relative_to(unpacked)
    assert (Path(settings) / "page" / name).is_file()


def test_the_tiny_model_of_the_wheel_is_where_the_loader_looks(unpacked):
    (folder,) = output(unpacked, "from mapl_explore.files import shipped; print(shipped('data') / 'tiny-gpt2')")
    assert Path(folder) == unpacked / FOLDERS["data"] / "tiny-gpt2"
