"""What a release is checked with: what disagrees is told in one line, and the lowest versions are read."""

import subprocess
import tomllib
from pathlib import Path

import lowest
import pytest
import ready

ROOT = Path(__file__).parents[1]
FILES = {
    "pyproject.toml": '[project]\nversion = "1.2.3"\n',
    "CITATION.cff": "version: 1.2.3\ndate-released: 2030-01-02\n",
    "CHANGELOG.md": "# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2030-01-02\n\n- A line.\n\n## [1.2.2] - 2029-01-01",
}


@pytest.fixture
def checkout(tmp_path):
    """A git checkout that is ready to be released as 1.2.3."""

    def write(**changes):
        for name, text in FILES.items():
            (tmp_path / name).write_text(changes.get(name.split(".")[0], text))
        subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
        subprocess.run(["git", "add", "--all"], cwd=tmp_path, check=True)
        author = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *author, "commit", "--quiet", "--message", "x"], cwd=tmp_path, check=True)
        return tmp_path

    return write


def test_a_release_whose_parts_agree_is_ready(checkout):
    assert ready.faults(checkout(), "1.2.3") == []


@pytest.mark.parametrize("version", ["", "1.2", "v1.2.3", "1.2.3rc1", "1.2.3\n"])
def test_a_version_is_three_numbers(checkout, version):
    assert ready.faults(checkout(), version) == [f"VERSION must be three numbers such as 1.2.3, not {version!r}"]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"pyproject": '[project]\nversion = "1.2.2"\n'}, "pyproject.toml has the version 1.2.2, not 1.2.3"),
        ({"CITATION": "version: 1.2.2\ndate-released: 2030-01-02\n"}, "CITATION.cff has the version 1.2.2, not 1.2.3"),
        ({"CITATION": "date-released: 2030-01-02\n"}, "CITATION.cff has the version None, not 1.2.3"),
        (
            {"CITATION": "version: 1.2.3\ndate-released: 2030-01-01\n"},
            "must have 'date-released: 2030-01-02'",
        ),
        ({"CHANGELOG": FILES["CHANGELOG.md"].replace("ed]\n", "ed]\n\n- New.\n")}, "lines under Unreleased still"),
        ({"CHANGELOG": "# Changelog\n\n## [Unreleased]\n"}, "must be '## [1.2.3] - YYYY-MM-DD'"),
        ({"CHANGELOG": "# Changelog\n\n## [Unreleased]\n\n## [1.2.2] - 2029-01-01\n"}, "must be '## [1.2.3]"),
        ({"CHANGELOG": "# Changelog\n\n## [Unreleased]\n\n## [1.2.3]\n"}, "must be '## [1.2.3] - YYYY-MM-DD'"),
    ],
)
def test_each_disagreement_is_told(checkout, changes, fault):
    (line,) = ready.faults(checkout(**changes), "1.2.3")
    assert fault in line


def test_a_file_that_is_not_committed_is_told(checkout):
    root = checkout()
    (root / "new.py").write_text("")
    assert ready.faults(root, "1.2.3") == ["1 files are not committed, such as new.py"]


def test_every_requirement_of_users_has_a_lowest_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert len(lowest.constraints(project)) == len(set(lowest.constraints(project))) > 10


def test_a_requirement_without_a_bound_is_refused():
    with pytest.raises(ValueError, match="a requirement must be NAME>=VERSION, not 'numpy'"):
        lowest.constraints({"dependencies": ["numpy"], "optional-dependencies": {"lab": [], "train": [], "lora": []}})
