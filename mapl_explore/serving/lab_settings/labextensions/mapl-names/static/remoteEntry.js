// Of ipywidgets only the number boxes have a name; here the handles of sliders and the pictures get one.
// Written by hand as what JupyterLab and Voila load: a container with `init` and `get`.
(() => {
  const named = () => {
    for (const handle of document.querySelectorAll(".mapl-stage [role=slider]:not([aria-label])")) {
      const box = handle.closest(".widget-hbox")?.querySelector("input");
      if (!box?.labels?.length) continue; // not all of the row is there yet
      // Of a logarithmic slider a screen reader hears the exponent. The handle's numbers have one decimal.
      const log = Math.abs(box.max - handle.getAttribute("aria-valuemax")) > 0.051;
      handle.setAttribute("aria-label", (log ? "log10 of " : "slider of ") + box.labels[0].textContent);
    }
    for (const picture of document.querySelectorAll(".mapl-stage img:not([alt])")) {
      const tab = picture.closest(".mapl-gallery")?.querySelector("[aria-selected=true]");
      picture.alt = (tab ? tab.textContent + ", its" : "picture of the explorer, its") + " numbers below";
    }
  };
  const plugin = {
    id: "mapl-names:plugin",
    autoStart: true,
    activate: () => {
      named();
      new MutationObserver(named).observe(document.body, { childList: true, subtree: true });
    },
  };
  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB["mapl-names"] = {
    init: () => {},
    get: () => Promise.resolve(() => ({ __esModule: true, default: plugin })),
  };
})();
