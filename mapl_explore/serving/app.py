"""The explorers on one page for a projector, without code: Voila on this machine alone."""

from mapl_explore.serving.server import SETTINGS, serve
from mapl_explore.words import _, language

PLACE = "voila/render/explorers.ipynb"
OPTIONS = [
    # Voila alone: no lab, no language server, no terminal.
    "--ServerApp.jpserver_extensions={'voila.server_extension': True, 'jupyterlab': False, 'jupyter_lsp': False, "
    "'jupyter_server_terminals': False, 'notebook_shim': False}",
    "--ServerApp.terminals_enabled=False",
    # A window that closes or reloads leaves its kernel behind, with some 200 MB: what Voila sends as the window goes
    # lacks the token against cross-site requests, and the server refuses it.
    "--MappingKernelManager.cull_idle_timeout=30",
    "--MappingKernelManager.cull_interval=10",
    "--ServerApp.kernel_manager_class=mapl_explore.serving.kernels.Kernels",
    "--VoilaConfiguration.template=mapl",
    f"--ServerApp.root_dir={SETTINGS / 'page'}",
    f"--ServerApp.default_url=/{PLACE}",
]


def open_app(browser: bool = True, port: int | None = None) -> None:
    """Serve the explorers as one page until ctrl-C, and print its address.

    The server listens on the loopback address only and asks for Jupyter's token, which is part of the address. Each
    window that opens the page has explorers of its own; they end within a minute after it is closed, or within eleven
    where it was closed while it still loaded.

    Parameters
    ----------
    browser : bool
        Open the page in the browser.
    port : int, optional
        The port; by default the first free one from 8888 on.

    Raises
    ------
    ValueError
        If MAPL_LANGUAGE is no language that there is.
    RuntimeError
        If the server does not start; what it said is on the terminal.

    Examples
    --------
    >>> open_app(browser=False)  # doctest: +SKIP
    The page is at http://127.0.0.1:8888/voila/render/explorers.ipynb?token=...
    ctrl-C ends it.
    """
    serve("The page", "jupyter_server", [*OPTIONS, *_words()], PLACE, browser, port)


def _words() -> list[str]:
    """Return the options of the page's own words, and of its language."""
    starting = _("The explorers are starting …")
    return [f"--VoilaConfiguration.resources=starting={starting}", f"--HTMLExporter.language_code={language()}"]
