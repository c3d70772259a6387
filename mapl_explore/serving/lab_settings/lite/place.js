// What JupyterLab lacks on a phone, and where a server has files alone.
const FIRST = "00_start_here.ipynb";
const PHONE = 700; // pixels: the file list leaves 50 of 390 to what it has opened
const ROOMY = 1400; // pixels: with the list a smaller window has no room for the numbers of an explorer next to its sliders
const MEASURED = 600; // milliseconds: JupyterLab looks 500 after a notebook has appeared which buttons fit beside the list
const OPENING = ["filebrowser:go-to-path", "filebrowser:open-path"]; // both show the list at their end

// A question that a page loaded anew shows as it was saved: one broken link for all its parts, and what to do. An explorer
// says that itself.
const SAVED = `.jupyter-widgets-disconnected:is(.jupyter-widgets-disconnected *, :has(.mapl-view), .mapl-view *)::before {
    content: none;
}
.jp-OutputArea-output > .jupyter-widgets-disconnected:not(:has(.mapl-view))::after {
    content: "Run its cell again, after those above it: ▶ above."; font-style: italic; padding: 0.3em;
}`;

// What is wider than a phone: a formula scrolls by itself, and a folded cell is cut before its dots; there the prompt, which
// is above an open cell, has no place next to a folded one.
// The shade at the right end of a formula goes where that end is in sight. Printed lines and code in a text break between
// words, and inside one only where it is wider than the page; what a told cell gave keeps its lines, a table most often.
const WIDE = `mjx-container[display="true"] {
    overflow: auto hidden; padding-block: 0.3em; background:
        linear-gradient(to left, var(--jp-layout-color0) 1em, transparent 2em) right / 2em 100% no-repeat local,
        linear-gradient(to left, var(--jp-layout-color3), transparent) right / 1em 100% no-repeat;
}
.jp-Placeholder, .jp-Placeholder-content { min-width: 0; }
.jp-PlaceholderText { text-overflow: ellipsis; }
.jp-MoreHorizIcon { flex: none; }
.jp-RenderedText pre { word-break: normal; }
:is(.jp-RenderedText pre, .jp-RenderedMarkdown code) { overflow-wrap: anywhere; }
.jp-RenderedMarkdown details pre { overflow-x: auto; }
.jp-ThemedContainer .jp-RenderedMarkdown details :is(pre, pre code) { white-space: pre; }
@media (max-width: 760px) {
    .jp-Placeholder-prompt { display: none; }
    .jp-Placeholder-content { margin-left: var(--jp-cell-padding); }
}`;

// On paper the open notebook stands alone, and whole: on screen it scrolls in its own box.
const PAPER = `@media print { body:has(.jp-NotebookPanel:not(.lm-mod-hidden)) {
    &, * { overflow: visible !important; }
    &, *:has(.jp-NotebookPanel), .jp-NotebookPanel, .jp-NotebookPanel :is(.jp-Notebook, .jp-WindowedPanel-outer) {
        position: static !important; display: block !important; contain: none !important;
        width: auto !important; height: auto !important; min-height: 0 !important; max-height: none !important;
    }
    *:not(:has(.jp-NotebookPanel), .jp-NotebookPanel, .jp-NotebookPanel *), .jp-NotebookPanel > :not(.jp-Notebook),
    .lm-mod-hidden { display: none !important; }
} }`;

const named = () => new URLSearchParams(location.search).getAll("path");

const open = async ({ commands, shell }, path) => {
    const there = [...shell.widgets("main")].find((one) => one.context?.path === path);
    if (there) return shell.activateById(there.id);
    // As a link in a notebook does: text of Markdown is shown as it is read.
    const failed = ({ message }) => commands.execute("apputils:notify", { message: `${path}: ${message}`, type: "error" });
    return commands.execute("rendermime:handle-local-link", { path }).catch(failed);
};

const activate = (app) => {
    document.head.append(Object.assign(document.createElement("style"), { textContent: SAVED + WIDE + PAPER }));
    const fold = async (wide) => {
        if (innerWidth >= wide) return;
        await app.shell.currentWidget?.revealed;
        setTimeout(() => app.shell.collapseLeft(), MEASURED); // a change of width before that would go unseen
    };
    app.commands.commandExecuted.connect((_, { id, result }) => OPENING.includes(id) && result.finally(() => fold(PHONE)));
    app.shell.currentChanged.connect(() => fold(PHONE));
    // The address names the open file: the page that is loaded again, or the button back, finds it.
    app.restored.then(async () => {
        if (!named().length) history.replaceState(null, "", `?path=${FIRST}`);
        for (const path of named()) await open(app, path);
        const [launcher, document] = app.shell.widgets("main"); // JupyterLab fills an empty window with a launcher
        if (document && !launcher.context) launcher.close();
        fold(ROOMY);
        // A tenth of a phone's width, for what no lesson uses.
        if (innerWidth < PHONE && app.shell.isSideTabBarVisible("right")) app.shell.toggleSideTabBarVisibility("right");
        app.shell.currentPathChanged.connect((_, { newValue: path }) => {
            if (path && path !== named().at(-1)) history.pushState(null, "", `?path=${encodeURIComponent(path)}`);
        });
        addEventListener("popstate", () => open(app, named().at(-1)));
    });
};

// The form in which JupyterLab takes an extension that webpack has not packed.
window._JUPYTERLAB ??= {};
window._JUPYTERLAB.mapl_explore = {
    init: () => {},
    get: async () => () => ({ id: "mapl_explore:place", autoStart: true, activate }),
};
