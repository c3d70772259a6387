"""The lowest versions that pyproject.toml admits, as constraints for pip: one line for each package with a bound."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
GROUPS = ("lab", "train", "lora")  # the extras of users; dev has the tools of this repository alone


def constraints(project: dict) -> list[str]:
    """Return ``name==bound`` for each requirement of the base and of the extras of users, once.

    >>> constraints({"dependencies": ["numpy>=2.0"], "optional-dependencies": {"lab": ["pandas>=2.2.3"], "train": []}})
    ['numpy==2.0', 'pandas==2.2.3']
    """
    extras = (one for group in GROUPS for one in project["optional-dependencies"][group])
    return list(dict.fromkeys(_lowest(one) for one in (*project["dependencies"], *extras)))


def _lowest(requirement: str) -> str:
    bound = re.fullmatch(r"([\w-]+)>=([\w.]+)", requirement)
    if bound is None:
        raise ValueError(f"a requirement must be NAME>=VERSION, not {requirement!r}")
    return f"{bound[1]}=={bound[2]}"


if __name__ == "__main__":
    print(*constraints(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]), sep="\n")
