// Python begins to load with the page, beside it, and not only once an open notebook asks for its kernel.
const KERNEL = "pyodide-kernel-extension"; // in the address of the script that runs a kernel
const PYODIDE = "../../static/pyodide/";

// In the page: the first kernel gets the worker in which Python loads already. Any other makes its own, as ever.
const inPage = (script) => {
    const early = new Worker(script.src, { name: script.dataset.packages });
    const Plain = window.Worker;
    window.Worker = new Proxy(Plain, {
        construct(target, given, made) {
            if (!`${given[0]}`.includes(KERNEL)) return Reflect.construct(target, given, made);
            window.Worker = Plain;
            early.postMessage(`${given[0]}`);
            return early;
        },
    });
};

const inWorker = () => {
    const [indexURL, packages] = [new URL(PYODIDE, location).href, name.split(" ")];
    let load, begun;
    // The kernel's script reads Pyodide's again, and then asks it for what has begun.
    Object.defineProperty(self, "loadPyodide", {
        get: () => (begun ? () => begun : load),
        set: (one) => (load ??= one),
    });
    importScripts(`${indexURL}pyodide.js`);
    begun = load({ indexURL, packages }).then(async (python) => {
        await python.runPythonAsync("import ipykernel, ipywidgets, mapl_explore.explorers");
        return python;
    });
    addEventListener("message", ({ data: script }) => importScripts(script), { once: true });
};

const opensNotebook = () => (new URLSearchParams(location.search).get("path") ?? ".ipynb").endsWith(".ipynb");

// Where pages are isolated, the kernel's worker is of another kind.
if (!self.document) inWorker();
else if (opensNotebook() && !crossOriginIsolated) inPage(document.currentScript);
