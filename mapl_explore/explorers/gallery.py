"""All explorers on one page, behind a menu: what the projector shows."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import ipywidgets as widgets

from mapl_explore.explorers.bounds import BoundsExplorer
from mapl_explore.explorers.losses import LossExplorer
from mapl_explore.explorers.pairs import PairsExplorer
from mapl_explore.explorers.precision import PrecisionExplorer
from mapl_explore.explorers.smooth_max import SmoothMaxExplorer
from mapl_explore.explorers.stage import Stage
from mapl_explore.explorers.temperature import TemperatureExplorer
from mapl_explore.words import N_, _

ADDRESS = "address"  # in place of a message's number, where the answer is to the address
# In place of an explorer that does not come: Python makes it when its tab is chosen, and may be gone. It is seen 3 s
# after the tab is.
LATE = """<style>
@keyframes mapl-late { from, to { visibility: hidden } }
.mapl-late { animation: mapl-late 3s; padding: 0 1em; font: 18px/1.35 system-ui, sans-serif; }
</style><p class="mapl-late">"""
# In the order of the notebooks.
PAGES: dict[str, Callable[[], Stage]] = {
    N_("Smooth maximum"): SmoothMaxExplorer,
    N_("Error bounds"): BoundsExplorer,
    N_("Temperature"): TemperatureExplorer,
    N_("Pairs"): PairsExplorer,
    N_("Losses"): LossExplorer,
    N_("Precision"): PrecisionExplorer,
}


class Gallery:
    """Show the explorers one at a time, each where it was left.

    An explorer is made when it is first shown: the page opens without waiting for all of them.

    Parameters
    ----------
    pages : mapping, optional
        From the title in the menu to the class of the explorer; all explorers if not given.
    address : str
        The query of the address that was opened, such as ``explorer=Error bounds&tau=2.5``: what to show first.

    Examples
    --------
    >>> gallery = Gallery()
    >>> gallery.show("Error bounds")
    >>> gallery
    Gallery: Smooth maximum, [Error bounds], Temperature, Pairs, Losses, Precision
    """

    def __init__(self, pages: dict[str, Callable[[], Stage]] = PAGES, address: str = ""):
        """Make the menu and the first explorer."""
        self.pages = pages
        self.stages: dict[str, Stage] = {}
        late = LATE + _("Python does not answer: it is busy, or not there any more. Load the page again.")
        self.widget = widgets.Tab([widgets.VBox([widgets.HTML(late)]) for _page in pages], titles=tuple(map(_, pages)))
        self.widget.add_class("mapl-gallery")
        self.widget.observe(self._chosen, "selected_index")
        asked = dict(parse_qsl(address)).get("explorer", "")
        self.widget.selected_index = list(pages).index(asked) if asked in pages else 0
        self._chosen()
        self._go(address)

    def show(self, title: str) -> None:
        """Show an explorer.

        Parameters
        ----------
        title : str
            As the menu has it.

        Raises
        ------
        ValueError
            If the menu has no such title.
        """
        if title not in self.pages:
            raise ValueError(f"title must be one of {', '.join(self.pages)}, not {title!r}")
        self.widget.selected_index = list(self.pages).index(title)

    def __repr__(self) -> str:
        """Return the menu in a line."""
        titles = [f"[{title}]" if i == self.widget.selected_index else title for i, title in enumerate(self.pages)]
        return f"Gallery: {', '.join(titles)}"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        return self.widget._repr_mimebundle_() | {"text/plain": repr(self)}

    def _chosen(self, change: Any = None) -> None:
        index = self.widget.selected_index
        title = list(self.pages)[index]
        if title not in self.stages:
            self.stages[title] = self.pages[title]()
            self.stages[title].widget.title = title
            self.widget.children[index].children = [self.stages[title].widget]

    def _go(self, address: str) -> None:
        """Set the first explorer to what an address says; what it cannot be set to is said on the page."""
        (stage,) = self.stages.values()
        try:
            stage.go(address)
        except (TypeError, ValueError) as error:
            stage.widget.answer = {"serial": ADDRESS, "error": _("the address: {error}").format(error=error)}
