"""Whether a release holds together: its number, the changelog, the citation and a clean tree must agree.

``python release/ready.py VERSION`` prints a line for each disagreement and ends with 1 if there is one.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def faults(root: Path, version: str) -> list[str]:
    """Return a line for each thing that does not agree with a version, none where the release is ready."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        return [f"VERSION must be three numbers such as 1.2.3, not {version!r}"]
    return [*_of_numbers(root, version), *_of_changelog(root, version), *_of_tree(root)]


def _of_numbers(root: Path, version: str) -> list[str]:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    cited = _cited(root, "version")
    numbers = {"pyproject.toml": project, "CITATION.cff": cited}
    return [f"{name} has the version {number}, not {version}" for name, number in numbers.items() if number != version]


def _of_changelog(root: Path, version: str) -> list[str]:
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    _, unreleased, *released = re.split(r"^## ", text, flags=re.MULTILINE)
    dated = re.match(rf"\[{re.escape(version)}\] - (\d{{4}}-\d\d-\d\d)$", released[0] if released else "", re.MULTILINE)
    if not dated:
        return [f"CHANGELOG.md: the first section below Unreleased must be '## [{version}] - YYYY-MM-DD'"]
    left = [] if unreleased.strip() == "[Unreleased]" else ["CHANGELOG.md: there are lines under Unreleased still"]
    if _cited(root, "date-released") != dated[1]:
        left.append(f"CITATION.cff must have 'date-released: {dated[1]}', as the changelog has it")
    return left


def _of_tree(root: Path) -> list[str]:
    status = subprocess.run(["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True)
    if status.returncode:
        return ["this is no git checkout, so nobody can tell what the release is made of"]
    changed = status.stdout.splitlines()
    return [f"{len(changed)} files are not committed, such as {changed[0][3:]}"] if changed else []


def _cited(root: Path, field: str) -> str | None:
    """Return a field of the citation; without YAML, which a release must not need."""
    line = re.search(rf'^{field}: "?([^"\n]*)"?$', (root / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    return line and line[1]


if __name__ == "__main__":
    lines = faults(ROOT, sys.argv[1])
    print("\n".join(lines) if lines else f"{sys.argv[1]}: version, changelog, citation and tree agree")
    sys.exit(bool(lines))
