"""The page of explorers: what is on it, and what its server is and is not."""

import asyncio
import inspect
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace

import pytest

from mapl_explore import explorers
from mapl_explore.explorers import BoundsExplorer, SmoothMaxExplorer
from mapl_explore.explorers.gallery import PAGES, Gallery
from mapl_explore.serving import app
from mapl_explore.serving.kernels import LOADING, Kernels
from mapl_explore.serving.server import SETTINGS


def needed(kind):
    """The arguments without which there is no explorer."""
    parameters = inspect.signature(kind).parameters.values()
    return [one.name for one in parameters if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD]


def test_every_explorer_that_needs_no_data_is_on_the_page():
    classes = [getattr(explorers, name) for name in explorers.__all__]
    assert set(PAGES.values()) == {kind for kind in classes if not needed(kind)}


def test_an_explorer_is_made_when_it_is_first_looked_at_and_stays_as_it_was_left():
    gallery = Gallery({"one": SmoothMaxExplorer, "two": BoundsExplorer})
    assert list(gallery.stages) == ["one"]
    gallery.stages["one"].set(tau=3.0)
    gallery.show("two")
    assert [box.children for box in gallery.widget.children] == [(stage.widget,) for stage in gallery.stages.values()]
    gallery.show("one")
    assert gallery.stages["one"].settings["tau"] == 3.0
    assert repr(gallery) == "Gallery: [one], two"


def test_a_title_that_the_menu_lacks_is_an_error_that_lists_the_menu():
    with pytest.raises(ValueError, match=r"title must be one of Smooth maximum, .*, not 'Sums'"):
        Gallery().show("Sums")


def test_the_page_is_served_by_voila_alone():
    extensions = next(option for option in app.OPTIONS if "jpserver_extensions" in option)
    assert "'voila.server_extension': True" in extensions
    assert "'jupyterlab': False" in extensions
    assert "--ServerApp.terminals_enabled=False" in app.OPTIONS


def test_the_kernels_of_closed_windows_end_and_those_of_open_ones_stay():
    asked = dict(option.removeprefix("--MappingKernelManager.").split("=", 1) for option in app.OPTIONS)
    assert int(asked["cull_idle_timeout"]) + int(asked["cull_interval"]) <= 60
    assert "cull_connected" not in asked  # off unless asked for


def test_the_page_is_a_notebook_of_one_cell_and_fetches_nothing_from_elsewhere():
    notebook = json.loads((SETTINGS / "page" / app.PLACE.rsplit("/", 1)[1]).read_text(encoding="utf-8"))
    assert [cell["cell_type"] for cell in notebook["cells"]] == ["code"]
    template = (SETTINGS / "voila" / "templates" / "mapl" / "index.html.j2").read_text(encoding="utf-8")
    assert "http" not in template


@pytest.mark.parametrize(
    ("idle", "met", "stays"),
    [(120, False, True), (120, True, False), (5, True, True), (LOADING + 60, False, False)],
)
def test_a_kernel_is_kept_for_a_window_that_still_loads(monkeypatch, idle, met, stays):
    manager, ended = Kernels(cull_idle_timeout=30), []
    since = datetime.now(UTC) - timedelta(seconds=idle)
    manager._kernels["one"] = SimpleNamespace(
        execution_state="idle",
        kernel_name="python3",
        last_activity=since,
        kernel_spec=SimpleNamespace(metadata={}),
    )
    manager._kernel_connections["one"] = 0
    monkeypatch.setattr(manager, "shutdown_kernel", ended.append)
    monkeypatch.setattr(manager.log, "warning", lambda *said: None)
    if met:
        manager.notify_connect("one")
        manager.notify_disconnect("one")
    with ThreadPoolExecutor() as elsewhere:
        elsewhere.submit(asyncio.run, manager.cull_kernels()).result()
    assert ended == ([] if stays else ["one"])


def looked_at(monkeypatch, end):
    """What the server tells of a look at two kernels that are to end, where `end` is what comes of ending one."""
    manager, told = Kernels(), []
    for name in ("one", "two"):
        manager._kernels[name] = SimpleNamespace(execution_state="dead", kernel_name="python3")
    monkeypatch.setattr(manager, "shutdown_kernel", partial(end, manager._kernels))
    monkeypatch.setattr(manager.log, "warning", lambda *said: None)
    monkeypatch.setattr(manager.log, "exception", lambda said, kernel, fault: told.append((kernel, repr(fault))))
    with ThreadPoolExecutor() as elsewhere:  # the browser's driver has a loop of its own in this thread
        elsewhere.submit(asyncio.run, manager.cull_kernels()).result()
    return told


def test_a_kernel_that_its_window_ended_meanwhile_is_not_told_of(monkeypatch):
    def both_go(kernels, kernel):
        kernels.clear()

    def it_goes_by_itself(kernels, kernel):
        del kernels[kernel]
        raise KeyError(kernel)

    assert looked_at(monkeypatch, both_go) == []
    assert looked_at(monkeypatch, it_goes_by_itself) == []


def test_a_kernel_that_cannot_be_ended_is_told_of(monkeypatch):
    def fails(kernels, kernel):
        raise OSError("no way")

    assert looked_at(monkeypatch, fails) == [("one", "OSError('no way')"), ("two", "OSError('no way')")]
