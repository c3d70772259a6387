"""Outputs as they are seen: every cell run in JupyterLab, as committed, nothing empty, blank, cut off or gone wrong."""

import re

import nbformat
import pytest
from browser.browsing import DRAWN, QUICK, ROOT, SIZES, TEACHERS, closed, opened, resized, run_all, served

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("test_outputs")]
# What is wrong with each output on the page, in words; ours to find, so a new kind of output cannot hide.
FAULTS = """async () => {
    const faults = [];
    const named = (node) => [node.tagName.toLowerCase(), ...[...node.classList].slice(-2)].join(".");
    const words = (node) => JSON.stringify((node.value || node.innerText || "").trim().slice(0, 40));
    const tell = (output, text) => {
        const cell = output.closest(".jp-Cell").querySelector(".jp-InputPrompt")?.textContent;
        if (!faults.includes(`${cell} ${text}`)) faults.push(`${cell} ${text}`);
    };
    // What is for screen readers alone is clipped by design, and presets that share a line scroll by themselves.
    const apart = (node) => node.closest("mjx-assistive-mml, select, option") !== null
        || node.closest(".mapl-presets")?.clientWidth > 0;
    const outside = (inner, outer) => Math.max(
        inner.right - outer.right, inner.bottom - outer.bottom, outer.left - inner.left, outer.top - inner.top);
    const clips = (node) => getComputedStyle(node).overflow !== "visible";
    const cut = (node, output) => {
        const inner = node.getBoundingClientRect();
        if (!inner.width && !inner.height) return; // as a place where a word may be broken
        for (let outer = node.parentElement; outer !== output.closest(".jp-Cell"); outer = outer.parentElement) {
            const over = outside(inner, outer.getBoundingClientRect());
            if (clips(outer) && over > 1) return `${named(outer)} by ${over.toFixed(0)} px`;
        }
    };
    const colours = (image) => {
        const canvas = new OffscreenCanvas(200, 100);
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0, 200, 100);
        return new Set(new Uint32Array(context.getImageData(0, 0, 200, 100).data.buffer)).size;
    };
    for (const output of document.querySelectorAll(".jp-Notebook .jp-OutputArea-output, .mapl-view")) {
        if (!output.checkVisibility()) continue;  // behind another tab
        output.scrollIntoView();
        if (output.getBoundingClientRect().height < 5) tell(output, "an output has no height");
        for (const node of [output, ...output.querySelectorAll("*")]) {
            if (apart(node) || !node.checkVisibility() || node.closest("svg") !== null) continue;
            // The width inside is 0 for what flows with the text; its block is looked at instead.
            const narrow = node.scrollWidth - node.clientWidth;
            if (node.clientWidth > 0 && narrow > 1)
                tell(output, `${named(node)} is ${narrow} px too narrow for ${words(node)}`);
            const by = cut(node, output);
            if (by) tell(output, `${named(node)} ${words(node)} is cut off by ${by}`);
        }
        for (const image of output.querySelectorAll("img")) {
            if (!image.complete || image.naturalWidth === 0) tell(output, "an image is empty");
            else if (colours(image) < 10) tell(output, "an image is blank");
        }
        for (const panel of output.querySelectorAll(".mapl-panel")) {
            const [frame, name] = [panel.getBoundingClientRect(), panel.getAttribute("aria-label")];
            if (!panel.querySelector(`DRAWN`)) tell(output, `the panel "${name}" is empty`);
            for (const word of panel.querySelectorAll(".mapl-scenery text")) {
                const over = outside(word.getBoundingClientRect(), frame);
                if (over > 2) tell(output, `"${word.textContent}" leaves its panel by ${over.toFixed(0)} px`);
            }
        }
        for (const text of ["Error displaying widget", "Click to show javascript error", "Loading widget"])
            if (output.innerText.includes(text)) tell(output, text);
        const kind = output.dataset.mimeType || "";
        if (/stderr/.test(kind)) tell(output, `${kind}: ${words(output)}`);
    }
    return faults;
}""".replace("DRAWN", DRAWN)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A lab on whole copies of the notebooks: its address, and their folder."""
    folder = tmp_path_factory.mktemp("lab")
    with served(folder, TEACHERS) as address:
        yield address, folder / "whole"


@pytest.fixture
def page(browser, lab, name):
    page = opened(browser, lab[0], name)
    yield page
    closed(page, lab[0])


PAGE = """<div class="jp-Notebook"><div class="jp-Cell"><div class="jp-InputPrompt">[1]:</div>
<div class="jp-OutputArea-output" style="overflow: auto" {0}</div></div></div>"""
BLANK = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


@pytest.mark.parametrize(
    ("output", "fault"),
    [
        ("><style>p { margin: 0 }</style>", "an output has no height"),
        ('><div style="width: 90px"><p style="width: 99px">wide', 'div is 9 px too narrow for "wide"'),
        ('><input type="number" value="123456" style="width: 20px">', "input is .* px too narrow for .*123456"),
        ('><div style="max-height: 50px; overflow: auto"><p style="height: 90px">high', '"high" is cut off by div by'),
        ('><div style="overflow: clip"><p style="margin-left: -9px">left', '"left" is cut off by div by 9 px'),
        ('>words <img src="data:image/png;base64,AAAA">', "an image is empty"),
        (f'>words <img src="{BLANK}">', "an image is blank"),
        ('>words <svg class="mapl-panel" aria-label="bars"></svg>', 'the panel "bars" is empty'),
        (
            '>words <svg class="mapl-panel"><g class="mapl-scenery"><text x="-20" y="50">nats',
            '"nats" leaves its panel by',
        ),
        (">Error displaying widget: model not found", "Error displaying widget"),
        (">Click to show javascript error.", "Click to show javascript error"),
        (' data-mime-type="application/vnd.jupyter.stderr">beware', 'stderr: "beware"'),
    ],
)
def test_a_fault_of_each_kind_is_found(browser, output, fault):
    page = browser.new_page()
    page.set_content(PAGE.format(output))
    assert re.search(fault, "\n".join(page.evaluate(FAULTS)))
    page.close()


def test_an_output_without_fault_has_none(browser):
    page = browser.new_page()
    page.set_content(PAGE.format("><p>words</p><details><summary>more</summary><p style='width: 9999px'>far</details>"))
    assert page.evaluate(FAULTS) == []
    page.close()


def code(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def lasting(cell):
    """Return what a cell shows that is the same on every run, by kind: not pictures, nor the number of a widget."""
    shown = {}
    for output in cell.outputs:
        for kind, data in (output.get("data") or {output.name: output.text}).items():
            shown[kind] = (*shown.get(kind, ()), data)
    streams = {kind: "".join(shown[kind]) for kind in shown.keys() & {"stdout", "stderr"}}
    return {
        kind: shown[kind] for kind in shown.keys() - {"image/png", "application/vnd.jupyter.widget-view+json"}
    } | streams


def saved(page, path):
    """Save the notebook, and return the cells of the file."""
    page.keyboard.press("Control+S")
    page.locator(".jp-mod-dirty").wait_for(state="detached")  # the tab says so until all is written
    return code(path)


@pytest.mark.parametrize("name", QUICK)
def test_no_output_is_empty_blank_cut_off_an_error_or_another_than_the_committed_one(page, lab, name):
    run_all(page)
    assert page.locator(".jp-OutputArea-output").count() > 0
    for width, height in SIZES:
        resized(page, width, height)
        faults = page.evaluate(FAULTS)
        assert not faults, "\n".join([f"in a window of {width} x {height}:", *faults])
    assert page.errors == []
    committed, found = code(ROOT / "notebooks" / name), saved(page, lab[1] / name)
    assert [cell.execution_count for cell in found] == [cell.execution_count for cell in committed]
    for cell, then in zip(found, committed, strict=True):
        if "nbval-ignore-output" not in cell.metadata.get("tags", ()):
            assert lasting(cell) == lasting(then), cell.source
