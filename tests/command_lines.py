"""What tests of the command line share: small sets, and a command that is refused."""

from mapl_explore.cli import main as cli
from mapl_explore.data import PreferenceSet

SETS = [PreferenceSet(f"say {word}", [f" {word}"], [" no", " x"]) for word in ("a", "b", "c", "d")]


def refused(capsys, *words):
    """Run a command that fails and return its exit code and what it wrote on stderr."""
    try:
        code = cli.main(words)
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, err
