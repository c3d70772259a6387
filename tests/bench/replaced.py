"""BoundsExplorer's numbers in two other pictures, for the bench: matplotlib's pixels in an Image widget, and bqplot.

And a line alone, with nothing to compute and next to nothing to draw.

Before the view the explorers were the first: matplotlib draws the scenery (axes, ticks, labels, legend) once and keeps
it as pixels; a move restores them, draws the artists that move, and sends one PNG without row filters.
"""

import struct
import zlib

import anywidget
import ipywidgets as widgets
import numpy as np
import traitlets

from mapl_explore.explorers import BoundsExplorer
from mapl_explore.plots.looks import LINES, PALETTE
from mapl_explore.plots.style import drawing_style, styled_figure

BOUNDS = ("exact", "upper", "lower", "asymptote")
EXPLORER = BoundsExplorer()
BOTTOM, TOP = 5e-5, 1e2  # of the vertical axis, in nats


def color(name: str) -> str:
    """Return a colour of the palette on a light page; ink is black there."""
    return PALETTE[name][0] if name in PALETTE and name != "ink" else "#000000"


def read(tau: float):
    """Return the library's numbers at a tau, the other settings as they start."""
    return EXPLORER.read(EXPLORER.settings | {"tau": tau})


class Moving:
    """A slider of tau, a picture and the sentence next to it, which follow."""

    def __init__(self, picture: widgets.Widget):
        """Put the picture between the slider and the sentence."""
        self.slider = widgets.FloatLogSlider(5.0, min=-1, max=2, step=0.01)
        self.readout = widgets.HTML()
        self.widget = widgets.VBox([picture, self.slider, self.readout])
        self.slider.observe(lambda change: self.show(change["new"]), "value")
        self.show(self.slider.value)

    def show(self, tau: float) -> None:
        """Move the picture and say the numbers."""
        reading = read(tau)
        self.move(reading)
        self.readout.value = EXPLORER.html(reading)


class Pixels(Moving):
    """The picture as matplotlib draws it, sent as a PNG."""

    def __init__(self):
        """Draw the scenery and keep it."""
        self.figure = figure(EXPLORER.reading)
        self.artists = moving(self.figure)
        for artist in self.artists:
            artist.set_animated(True)
        with drawing_style():
            self.figure.canvas.draw()
        self.figure.set_layout_engine("none")
        self.scenery = self.figure.canvas.copy_from_bbox(self.figure.bbox)
        self.image = widgets.Image(format="png", layout=widgets.Layout(width="100%", max_width="1300px"))
        super().__init__(self.image)

    def move(self, reading) -> None:
        """Draw what moves over the scenery, and send all."""
        put(self.figure, reading)
        self.figure.canvas.restore_region(self.scenery)
        for artist in self.artists:
            self.figure.draw_artist(artist)
        self.image.value = png(np.array(self.figure.canvas.buffer_rgba())[..., :3])


class Plotted(Moving):
    """The same curves, lines, ring and bars as marks of bqplot."""

    def __init__(self):
        """Make the marks."""
        import bqplot

        reading, limits = EXPLORER.reading, {"min": BOTTOM, "max": TOP}
        x = bqplot.LogScale(min=float(reading.places[0]), max=float(reading.places[-1]))
        scales = {"x": x, "y": bqplot.LogScale(**limits)}
        self.lines = {
            name: bqplot.Lines(x=reading.places, scales=scales, colors=[color(LINES[name]["style"].color)])
            for name in BOUNDS
        }
        self.band = bqplot.Lines(x=reading.places, scales=scales, fill="between", fill_opacities=[0.6], stroke_width=0)
        self.now, self.target = (bqplot.Lines(scales=scales, colors=[color("green")]) for _ in range(2))
        self.ring = bqplot.Scatter(scales=scales, colors=["white"], stroke=color("green"))
        self.roots = bqplot.Scatter(scales=scales, colors=[color("orange")])
        marks = [self.band, *self.lines.values(), self.now, self.target, self.ring, self.roots]
        ranks = {"x": bqplot.LinearScale(min=0.4, max=8.6), "y": bqplot.LinearScale(min=0, max=1.3)}
        self.bars = bqplot.Bars(x=np.arange(1, 9), y=reading.weights, scales=ranks, colors=[color("orange")])
        plots = [panel(bqplot, scales, marks, 920), panel(bqplot, ranks, [self.bars], 350)]
        super().__init__(widgets.HBox(plots))

    def move(self, reading) -> None:
        """Move the marks."""
        for name, line in self.lines.items():
            line.y = reading.curves[name]
        self.band.y = [reading.curves["lower"], reading.curves["upper"]]
        put_line(self.now, [reading.tau, reading.tau], [BOTTOM, TOP])
        put_line(self.target, [reading.places[0], reading.places[-1]], [reading.epsilon] * 2)
        put_line(self.ring, [reading.tau], [reading.errors["exact"]])
        put_line(self.roots, list(reading.roots.values()), [reading.epsilon] * len(reading.roots))
        self.bars.y = reading.weights


class Alone(anywidget.AnyWidget):
    """A slider and a line that is where Python says; as in an explorer two messages at most wait for an answer."""

    _esm = """export default { render({ model, el }) {
        el.innerHTML = `<input type="range" max="1000" value="500"><svg width="1000" height="20"><path class="alone"
            stroke="black" d="M500 0V20"/></svg>`;
        const [slider, line] = [el.querySelector("input"), el.querySelector("path")];
        let [waiting, next] = [0, null];
        const say = (place) => (waiting < 2 ? (waiting++, model.send({ place })) : (next = place));
        slider.addEventListener("input", () => say(slider.valueAsNumber));
        model.on("change:place", () => {
            line.setAttribute("d", `M${model.get("place")[0]} 0V20`);
            waiting--;
            if (next !== null) [next] = [null, say(next)];
        });
    } };"""
    place = traitlets.Tuple((500, 0)).tag(sync=True)

    def __init__(self):
        """Send back what is received, and how many times, so that each answer differs from the one before."""
        super().__init__()
        self.on_msg(lambda _, content, buffers: setattr(self, "place", (content["place"], self.place[1] + 1)))


def put_line(mark, x: list[float], y: list[float]) -> None:
    """Give a mark of bqplot its places in one message."""
    with mark.hold_sync():
        mark.x, mark.y = x, y


def panel(bqplot, scales: dict, marks: list, width: int):
    """Return a figure of bqplot as large as the panel it stands for."""
    axes = [bqplot.Axis(scale=scales["x"]), bqplot.Axis(scale=scales["y"], orientation="vertical")]
    return bqplot.Figure(marks=marks, axes=axes, layout=widgets.Layout(width=f"{width}px", height="440px"))


def figure(reading):
    """Return matplotlib's figure of a reading: the errors against tau, and the bars of the weights."""
    with drawing_style():
        made = styled_figure(*EXPLORER.size)
        left, right = made.subplots(1, 2, width_ratios=(2.6, 1))
        left.set(xscale="log", yscale="log", xlim=(reading.places[0], reading.places[-1]), ylim=(BOTTOM, TOP))
        left.set(xlabel="inverse temperature τ (1/nats)", ylabel="smoothing error E (nats)")
        left.fill([], [], color=color("grey"), alpha=0.6)
        for name in BOUNDS:
            style = LINES[name]["style"]
            dash = (0, style.dash) if style.dash else "-"
            left.plot([], [], color=color(style.color), linestyle=dash, label=LINES[name]["label"])
        left.axhline(reading.epsilon, color=color("green"))
        left.axvline(reading.tau, color=color("green"))
        left.plot([], [], "o", color=color("orange"))
        left.plot([], [], "o", markersize=12, markerfacecolor="white", markeredgecolor=color("green"))
        made.legend(handles=left.lines[:4], loc="outside upper left", ncols=4)
        right.set(xlim=(0.4, 8.6), ylim=(0, 1.3), ylabel="share of the gradient", xlabel="responses, best first")
        right.bar(np.arange(1, 9), reading.weights, color=color("orange"), hatch="//")
    put(made, reading)
    return made


def moving(made) -> list:
    """Return what a move draws over the scenery."""
    left, right = made.axes
    return [*left.patches, *left.lines, *right.patches]


def put(made, reading) -> None:
    """Move the artists of a figure to a reading."""
    left, right = made.axes
    outline = np.concatenate([reading.places, reading.places[::-1]])
    between = np.concatenate([reading.curves["lower"], reading.curves["upper"][::-1]])
    left.patches[0].set_xy(np.column_stack([outline, between]))
    *curves, target, now, roots, ring = left.lines
    for name, line in zip(BOUNDS, curves, strict=True):
        line.set_data(reading.places, reading.curves[name])
    target.set_ydata([reading.epsilon] * 2)
    now.set_xdata([reading.tau] * 2)
    roots.set_data(list(reading.roots.values()), [reading.epsilon] * len(reading.roots))
    ring.set_data([reading.tau], [reading.errors["exact"]])
    for bar, height in zip(right.patches, reading.weights, strict=True):
        bar.set_height(height)


def png(pixels: np.ndarray) -> bytes:
    """Return the pixels as a PNG, without the row filters with which Pillow takes 9 ms where this takes 3."""
    height, width, channels = pixels.shape
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # filter 0, "none", opens each row
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, colour type 2: red, green, blue
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, level=1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts)


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
