"""All explorers on one page, behind a menu: what the projector shows."""

from collections.abc import Callable

import ipywidgets as widgets

from mapl_explore.explorers.bounds import BoundsExplorer
from mapl_explore.explorers.losses import LossExplorer
from mapl_explore.explorers.pairs import PairsExplorer
from mapl_explore.explorers.precision import PrecisionExplorer
from mapl_explore.explorers.smooth_max import SmoothMaxExplorer
from mapl_explore.explorers.stage import Stage
from mapl_explore.explorers.temperature import TemperatureExplorer

# In the order of the notebooks.
PAGES: dict[str, Callable[[], Stage]] = {
    "Smooth maximum": SmoothMaxExplorer,
    "Error bounds": BoundsExplorer,
    "Temperature": TemperatureExplorer,
    "Pairs": PairsExplorer,
    "Losses": LossExplorer,
    "Precision": PrecisionExplorer,
}


class Gallery:
    """Show the explorers one at a time, each where it was left.

    An explorer is made when it is first shown: the page opens without waiting for all of them.

    Parameters
    ----------
    pages : mapping, optional
        From the title in the menu to the class of the explorer; all explorers if not given.

    Examples
    --------
    >>> gallery = Gallery()
    >>> gallery.show("Error bounds")
    >>> gallery
    Gallery: Smooth maximum, [Error bounds], Temperature, Pairs, Losses, Precision
    """

    def __init__(self, pages: dict[str, Callable[[], Stage]] = PAGES):
        """Make the menu and the first explorer."""
        self.pages, self.stages = pages, {}
        self.widget = widgets.Tab([widgets.VBox() for _ in pages], titles=tuple(pages))
        self.widget.add_class("mapl-gallery")
        self.widget.observe(self._chosen, "selected_index")
        self.widget.selected_index = 0
        self._chosen()

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

    def _repr_mimebundle_(self, **_):
        return self.widget._repr_mimebundle_() | {"text/plain": repr(self)}

    def _chosen(self, _=None) -> None:
        index = self.widget.selected_index
        title = list(self.pages)[index]
        if title not in self.stages:
            self.stages[title] = self.pages[title]()
            self.widget.children[index].children = [self.stages[title].widget]
