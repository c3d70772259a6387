// What JupyterLab lacks on a phone, and where a server has files alone.
const PHONE = 700; // pixels: the file list leaves 50 of 390 to what it has opened
const MEASURED = 600; // milliseconds: JupyterLab looks 500 after a notebook has appeared which buttons fit beside the list
const OPENING = ["filebrowser:go-to-path", "filebrowser:open-path"]; // both show the list at their end

const activate = (app) => {
    if (!new URLSearchParams(location.search).has("path")) history.replaceState(null, "", "?path=00_start_here.ipynb");
    const fold = async () => {
        if (innerWidth >= PHONE) return;
        await app.shell.currentWidget?.revealed;
        setTimeout(() => app.shell.collapseLeft(), MEASURED); // a change of width before that would go unseen
    };
    app.commands.commandExecuted.connect((_, { id, result }) => OPENING.includes(id) && result.finally(fold));
    app.shell.currentChanged.connect(fold);
    // The address names the open file: when the page is loaded again, it comes back.
    app.shell.currentPathChanged.connect((_, { newValue: path }) => {
        if (path) history.replaceState(null, "", `?path=${encodeURIComponent(path)}`);
    });
};

// The form in which JupyterLab takes an extension that webpack has not packed.
window._JUPYTERLAB ??= {};
window._JUPYTERLAB.mapl_explore = {
    init: () => {},
    get: async () => () => ({ id: "mapl_explore:place", autoStart: true, activate }),
};
