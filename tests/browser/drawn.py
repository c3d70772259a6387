"""An explorer in a browser without Jupyter: the view's own script, with a model that this process answers for."""

import base64
import json
from pathlib import Path

import mapl_explore.explorers

SCRIPT = (Path(mapl_explore.explorers.__file__).parent / "view.js").read_text(encoding="utf-8")
PAGE = """<!doctype html><meta charset="utf-8"><body data-jp-theme-light="LIGHT" style="margin: 0; background: Canvas">
<div id="here"></div><script type="module">
const bytes = (text) => new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
const [state, calls] = [STATE, {}];
for (const name of ["curves", "numbers"]) state[name] = bytes(state[name]);
window.sent = [];
window.model = {
    get: (name) => state[name],
    on: (name, call) => (calls[name] ??= []).push(call),
    off: (name, call) => { calls[name] = (calls[name] ?? []).filter((one) => one !== call); },
    send: (message) => window.sent.push(message),
    // As Jupyter's: what is equal is not news.
    put(news) {
        const changed = Object.keys(news).filter((name) => window.model.last[name] !== JSON.stringify(news[name]));
        for (const name of changed) {
            window.model.last[name] = JSON.stringify(news[name]);
            state[name] = ["curves", "numbers"].includes(name) ? bytes(news[name]) : news[name];
        }
        for (const name of changed) (calls[`change:${name}`] ?? []).forEach((call) => call());
    },
    last: Object.fromEntries(Object.entries(STATE).map(([name, value]) => [name, JSON.stringify(value)])),
};
document.head.append(Object.assign(document.createElement("style"), { textContent: state._css }));
const script = URL.createObjectURL(new Blob([SCRIPT], { type: "text/javascript" }));
window.end = (await import(script)).default.render({ model: window.model, el: document.getElementById("here") });
</script>"""
# Both are on a page only after the frame in which they are asked for.
PAINTED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"


class Drawn:
    """An explorer on a page of its own.

    Parameters
    ----------
    browser : playwright.sync_api.Browser
        Where to open the page.
    explorer : Stage
        What to show.
    width, height : int
        Of the window, in pixels.
    dark : bool
        Whether the page is that of a dark theme.
    answering : bool
        Whether somebody answers the page, as in a live notebook.
    **context
        Further options of the browser's context.
    """

    def __init__(
        self,
        browser,
        explorer,
        width: int = 1280,
        height: int = 720,
        dark: bool = False,
        answering: bool = True,
        **context,
    ):
        """Open the page, and answer its first question."""
        self.explorer, self.errors = explorer, []
        scheme = "dark" if dark else "light"
        self.context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, **context)
        self.page = self.context.new_page()
        self.page.on("console", lambda one: self.errors.append(one.text) if one.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        page = PAGE.replace("LIGHT", "false" if dark else "true").replace("STATE", json.dumps(self.state()))
        style = f"<style>:root {{ color-scheme: {scheme} }}</style>"
        self.page.set_content(style + page.replace("SCRIPT", json.dumps(SCRIPT)))
        self.page.wait_for_function("Boolean(window.end)")  # the function itself would be called
        if answering:
            self.answer()

    def state(self) -> dict:
        """Return what the widget has sent to the browser, as JSON can hold it."""
        widget = self.explorer.widget
        state = {name: getattr(widget, name) for name in widget.keys if not name.startswith("_") or name == "_css"}
        del state["layout"], state["tabbable"], state["tooltip"]
        return state | {name: base64.b64encode(state[name]).decode() for name in ("curves", "numbers")}

    def answer(self, most: int = 100) -> int:
        """Do what the page asks for, at most so many things, and return how many they were."""
        asked = 0
        while asked < most and (messages := self.page.evaluate("window.sent.splice(0)")):
            for message in messages:
                asked += 1
                self._answer(message)
            self.page.evaluate(PAINTED)
        return asked

    def show(self) -> None:
        """Send what the explorer shows, and wait until it is drawn."""
        self.page.evaluate("(state) => window.model.put(state)", self.state())
        self.page.evaluate(PAINTED)

    def close(self) -> None:
        """Take the view off the page; it must have had no errors."""
        self.page.evaluate("window.end()")
        self.context.close()
        assert self.errors == []

    def _answer(self, message: dict) -> None:
        self.explorer.widget._received(self.explorer.widget, message, [])
        self.show()
