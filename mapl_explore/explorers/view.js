// Draws what Python describes, and tells Python what a person does. Every number comes from Python: this file turns
// numbers into pixels, and pixels into the value of a knob.

const SVG = "http://www.w3.org/2000/svg";
const PATIENCE = 3000; // ms without an answer from Python, after which the banner says so
const GLIDE = 300; // ms
const SILENT = "Python does not answer: it is busy, or not there any more. Run the cell to bring the sliders to life.";
const SWEEP = 8000; // ms, from one end of a slider to the other
const POINT = 4 / 3; // pixels in a point
const NARROW = 640; // pixels of width below which panels stand below each other

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") node.textContent = value;
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

function put(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function shape(tag, attributes = {}, ...children) {
  const node = put(document.createElementNS(SVG, tag), attributes);
  node.append(...children);
  return node;
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const paint = (color) => `var(--mapl-${color})`;

// ---------------------------------------------------------------- numbers

// Three digits, as a person sets them by hand: the loss and the run record then hold 5.01 and not 5.0118723.
const rounded = (value) => Number(value.toPrecision(3));
const written = (value) => {
  const size = Math.abs(value);
  const text = size && (size < 1e-4 || size >= 1e6) ? value.toExponential(2) : String(Number(value.toPrecision(3)));
  return text.replace("-", "−");
};

// A copy, because a Float32Array must begin at a multiple of four bytes.
const floats = ({ buffer, byteOffset, byteLength }) => new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));

// An axis or a knob is even in these numbers.
const straight = ({ scale }, value) => (scale === "log" ? Math.log10(value) : value);
const bent = ({ scale }, value) => (scale === "log" ? 10 ** value : value);

class Scale {
  constructor(axis, start, end) {
    Object.assign(this, { axis, start, end, low: straight(axis, axis.low), high: straight(axis, axis.high) });
  }

  pixel(value) {
    if (!Number.isFinite(value)) return NaN; // a line ends there
    const place = this.start + ((straight(this.axis, value) - this.low) / (this.high - this.low)) * (this.end - this.start);
    // 0 has no place on a log axis: the line goes far down, as far as a browser can draw.
    return clamp(place, -1e5, 1e5);
  }

  value(pixel) {
    return bent(this.axis, this.low + ((pixel - this.start) / (this.end - this.start)) * (this.high - this.low));
  }
}

class Range {
  // The places of a slider: whole numbers from 0 to count, each with its value.
  constructor(knob) {
    Object.assign(this, { knob, low: straight(knob, knob.low) });
    const width = straight(knob, knob.high) - this.low;
    this.step = { log: 0.01, integer: 1, linear: 10 ** Math.floor(Math.log10(width / 100)) }[knob.scale];
    this.count = Math.round(width / this.step);
  }

  place(value) {
    return Math.round((straight(this.knob, value) - this.low) / this.step);
  }

  value(place) {
    return this.fit(bent(this.knob, this.low + place * this.step));
  }

  fit(value) {
    const { low, high, scale } = this.knob;
    return clamp(scale === "integer" ? Math.round(value) : rounded(value), low, high);
  }
}

// ---------------------------------------------------------------- the line to Python

// Only one message waits for its answer at a time, and of those after it only the newest is kept: a drag never queues.
class Line {
  constructor(model, silent, refused) {
    // Two windows may show one explorer: each looks for its own answers.
    Object.assign(this, { model, silent, refused, id: Math.random().toString(36).slice(2), count: 0, waiting: null, next: null });
    this.answer = () => this.done(model.get("answer"));
    model.on("change:answer", this.answer);
  }

  say(message) {
    if (this.waiting) this.next = message;
    else this.send(message);
  }

  send(message) {
    this.waiting = `${this.id}-${++this.count}`;
    this.timer = setTimeout(() => this.lost(), PATIENCE);
    try {
      this.model.send({ ...message, serial: this.waiting });
    } catch {
      this.lost();
    }
  }

  done({ serial, error }) {
    if (!serial?.startsWith(this.id)) return;
    this.silent(false); // also where an answer comes late
    if (serial !== this.waiting) return;
    clearTimeout(this.timer);
    this.waiting = null;
    this.refused(error);
    const next = this.next;
    this.next = null;
    if (next) this.send(next);
    else this.idle?.();
  }

  lost() {
    clearTimeout(this.timer);
    this.waiting = this.next = null;
    this.silent(true);
    this.idle?.();
  }

  end() {
    clearTimeout(this.timer);
    this.model.off("change:answer", this.answer);
  }
}

// ---------------------------------------------------------------- marks

const drawn = (x, y) => Number.isFinite(x) && Number.isFinite(y);
const point = (x, y) => `${x.toFixed(2)} ${y.toFixed(2)}`;
const path = (xs, ys) =>
  Array.from(xs, (x, i) => (drawn(x, ys[i]) ? `${i && drawn(xs[i - 1], ys[i - 1]) ? "L" : "M"}${point(x, ys[i])}` : "")).join("");
const across = (along, place, { left, right, top, bottom }) =>
  along === "x" ? path([place, place], [top, bottom]) : path([left, right], [place, place]);

const box = (l, r, b, t) => `M${l.toFixed(2)} ${b.toFixed(2)}H${r.toFixed(2)}V${t.toFixed(2)}H${l.toFixed(2)}Z`;

// Of size 1 around the origin.
const SHAPES = {
  circle: "M-.5 0a.5 .5 0 1 0 1 0a.5 .5 0 1 0 -1 0Z",
  ring: "M-.5 0a.5 .5 0 1 0 1 0a.5 .5 0 1 0 -1 0Z",
  diamond: "M0 -.6L.6 0L0 .6L-.6 0Z",
  cross: "M-.5 -.3L-.3 -.5L0 -.2L.3 -.5L.5 -.3L.2 0L.5 .3L.3 .5L0 .2L-.3 .5L-.5 .3L-.2 0Z",
  left: "M0 -.5L-.87 0L0 .5Z",
  right: "M0 -.5L.87 0L0 .5Z",
  up: "M0 0L.5 .87L-.5 .87Z",
  down: "M0 0L.5 -.87L-.5 -.87Z",
};

const MARKS = {
  curve: {
    tag: "path",
    draw: (node, mark, at) => put(node, { d: path(at("x"), at("y")) }),
  },
  band: {
    tag: "path",
    filled: true,
    draw(node, mark, at) {
      const [xs, low, high] = [at("x"), at("low"), at("high")];
      const there = [...xs.keys()].filter((i) => drawn(low[i], high[i]));
      const way = [...there.map((i) => point(xs[i], low[i])), ...there.reverse().map((i) => point(xs[i], high[i]))];
      put(node, { d: way.length ? `M${way.join("L")}Z` : "" });
    },
  },
  boxes: {
    tag: "g",
    filled: true,
    draw(node, mark, at) {
      const [left, right, bottom, top] = ["left", "right", "bottom", "top"].map(at);
      const shades = mark.arrays.shade && at("shade");
      keep(node, left.length, "path").forEach((one, i) => {
        put(one, { d: box(left[i], right[i], bottom[i], top[i]) });
        if (shades) one.style.fill = shade(shades[i]);
      });
    },
  },
  segments: {
    tag: "path",
    draw(node, mark, at) {
      const [x, y, toX, toY] = ["x", "y", "to_x", "to_y"].map(at);
      put(node, { d: Array.from(x, (_, i) => path([x[i], toX[i]], [y[i], toY[i]])).join("") });
    },
  },
  rule: {
    tag: "path",
    draw: (node, mark, at, area) => put(node, { d: across(mark.along, at("at")[0], area) }),
  },
  points: {
    tag: "g",
    loose: true,
    draw(node, mark, at) {
      const [xs, ys] = [at("x"), at("y")];
      keep(node, xs.length, "path").forEach((one, i) => {
        const transform = drawn(xs[i], ys[i]) ? `translate(${point(xs[i], ys[i])}) scale(${mark.width * POINT})` : "scale(0)";
        put(one, { d: SHAPES[mark.shape], class: `mapl-${mark.shape}`, transform });
      });
    },
  },
  words: {
    tag: "g",
    loose: true,
    draw(node, mark, at, area, words) {
      const [xs, ys] = [at("x"), at("y")];
      keep(node, xs.length, "text").forEach((word, i) => {
        put(word, { x: xs[i].toFixed(2), y: ys[i].toFixed(2) }).textContent = words[mark.texts[0] + i];
      });
    },
  },
};

// The colour of a margin: from -1, the wrong order, through white to 1, the right order.
const shade = (value) => {
  const much = Math.round(100 * clamp(Math.abs(value), 0, 1));
  return `color-mix(in srgb, var(--mapl-shade-${value < 0 ? "low" : "high"}) ${much}%, var(--mapl-shade-zero))`;
};

function keep(node, count, tag) {
  while (node.children.length > count) node.lastChild.remove();
  while (node.children.length < count) node.append(shape(tag));
  return [...node.children];
}

// The axis of each array of a mark; an array that is not here is no coordinate.
const ALONG = { x: "x", left: "x", right: "x", to_x: "x", y: "y", low: "y", high: "y", bottom: "y", top: "y", to_y: "y" };

// ---------------------------------------------------------------- a panel

class Panel {
  constructor(view) {
    Object.assign(this, { view, marks: [], id: `mapl-${Math.random().toString(36).slice(2)}` });
    this.svg = shape("svg", { class: "mapl-panel", role: "group" });
    this.scenery = shape("g", { class: "mapl-scenery", "aria-hidden": "true" });
    this.clip = shape("rect");
    this.hatches = shape("g");
    this.inside = shape("g", { "clip-path": `url(#${this.id})` });
    this.outside = shape("g");
    this.handles = shape("g");
    const defs = shape("defs", {}, shape("clipPath", { id: this.id }, this.clip), this.hatches);
    this.svg.append(defs, this.scenery, this.inside, this.outside, this.handles);
    this.svg.addEventListener("pointermove", (event) => this.hover(event));
    this.svg.addEventListener("pointerleave", () => view.tip.hide());
    this.own = element("div", { class: "mapl-key mapl-own" });
    this.node = element("div", { class: "mapl-frame" }, this.own, this.svg);
  }

  // The handle that a person holds must stay in the document: outside of it, it would lose the pointer.
  become(spec) {
    this.spec = spec;
    this.svg.setAttribute("aria-label", spec.name);
    this.hatches.replaceChildren(...spec.marks.flatMap((mark) => this.hatch(mark)));
    const before = new Map(this.marks.map((mark) => [`${mark.kind} ${mark.name}`, mark]));
    this.inside.replaceChildren();
    this.outside.replaceChildren();
    this.marks = spec.marks.map((mark) => this.made(mark, before.get(`${mark.kind} ${mark.name}`)));
    const kept = new Set(this.marks.flatMap((mark) => mark.handles.map((handle) => handle?.node)));
    for (const node of [...this.handles.children]) if (!kept.has(node)) node.remove();
    this.own.replaceChildren(...spec.key.map((mark) => this.view.sample(mark)));
    this.own.hidden = !spec.key.length;
  }

  filling(mark) {
    return `${this.id}-${mark.name.replaceAll(" ", "-")}`;
  }

  hatch(mark) {
    if (!mark.hatch) return [];
    const turn = mark.hatch === "/" ? 45 : -45;
    const size = { width: 8, height: 8 };
    const pattern = { id: this.filling(mark), ...size, patternUnits: "userSpaceOnUse", patternTransform: `rotate(${turn})` };
    const fill = shape("rect", { ...size, style: `fill: ${paint(mark.color)}` });
    const stroke = shape("rect", { ...size, height: 2, style: "fill: var(--mapl-page)" });
    return [shape("pattern", pattern, fill, stroke)];
  }

  made(mark, before) {
    const kind = MARKS[mark.kind];
    const node = before?.node ?? shape(kind.tag, { class: `mapl-${mark.kind}`, "data-name": mark.name });
    node.setAttribute("style", this.style(mark, kind));
    (kind.loose ? this.outside : this.inside).append(node);
    const made = Object.assign(before ?? { handles: [] }, mark, { node, draw: kind.draw });
    made.handles = mark.drags.map((drag, index) => drag && this.handleOf(made, drag, index));
    return made;
  }

  handleOf(mark, drag, index) {
    const before = mark.handles[index];
    if (before?.drag.knob !== drag.knob) return new Handle(this, mark, drag, index);
    before.drag = drag;
    return before;
  }

  style(mark, { filled }) {
    const opacity = `opacity: ${mark.opacity}`;
    if (filled) return `fill: ${mark.hatch ? `url(#${this.filling(mark)})` : paint(mark.color)}; ${opacity}`;
    if (mark.kind === "points") return `--color: ${paint(mark.color)}; ${opacity}`;
    if (mark.kind === "words") {
      const anchor = { left: "start", middle: "middle", right: "end" }[mark.across];
      const base = { above: "text-after-edge", middle: "central", below: "text-before-edge" }[mark.upright];
      return `fill: ${paint(mark.color)}; text-anchor: ${anchor}; dominant-baseline: ${base}; font-size: calc(${mark.width / 16} * 1em); ${opacity}`;
    }
    const dash = mark.dash.map((length) => (length * mark.width * POINT).toFixed(1)).join(" ");
    return `stroke: ${paint(mark.color)}; stroke-width: ${mark.width * POINT * 0.8}px; stroke-dasharray: ${dash || "none"}; ${opacity}`;
  }

  resize(width, height, type) {
    const { x, y, title } = this.spec;
    for (const [name, value] of Object.entries({ width, height, viewBox: `0 0 ${width} ${height}` })) this.svg.setAttribute(name, value);
    const widest = Math.max(...y.ticks.map(([, text]) => this.view.wide(text, type)), 0);
    const area = {
      left: widest + type * (y.label ? 1.9 : 0.6),
      right: width - Math.max(type * 0.9, this.view.wide(x.ticks.at(-1)?.[1] ?? "", type) / 2 + 2),
      top: Math.max(type * (title ? 1.9 : 0.7), this.own.offsetHeight + type * 0.3),
      bottom: height - type * (x.label ? 2.6 : 1.4),
    };
    Object.assign(this, { area, type, x: new Scale(x, area.left, area.right), y: new Scale(y, area.bottom, area.top) });
    const rect = { x: area.left, y: area.top, width: area.right - area.left, height: area.bottom - area.top };
    for (const [name, value] of Object.entries(rect)) this.clip.setAttribute(name, value);
    this.paintScenery(width, height);
  }

  paintScenery(width, height) {
    const { area, type, spec } = this;
    const line = (x1, y1, x2, y2, name) => shape("line", { x1, y1, x2, y2, class: name });
    const word = (text, attributes) => shape("text", attributes, text);
    const nodes = [];
    let free = -Infinity;
    for (const [value, text] of spec.x.ticks) {
      const place = this.x.pixel(value);
      if (spec.grid.includes("x")) nodes.push(line(place, area.top, place, area.bottom, "mapl-grid"));
      const half = this.view.wide(text, type) / 2;
      if (place - half < free) continue; // two labels would touch
      free = place + half + type * 0.4;
      nodes.push(word(text, { x: place, y: area.bottom + type * 1.15, "text-anchor": "middle" }));
    }
    let ceiling = Infinity;
    for (const [value, text] of [...spec.y.ticks].sort((a, b) => this.y.pixel(b[0]) - this.y.pixel(a[0]))) {
      const place = this.y.pixel(value);
      if (spec.grid.includes("y")) nodes.push(line(area.left, place, area.right, place, "mapl-grid"));
      if (place + type * 0.5 > ceiling) continue;
      ceiling = place - type * 0.5;
      nodes.push(word(text, { x: area.left - type * 0.35, y: place, "text-anchor": "end", "dominant-baseline": "central" }));
    }
    nodes.push(line(area.left, area.bottom, area.right, area.bottom, "mapl-spine"), line(area.left, area.top, area.left, area.bottom, "mapl-spine"));
    // A label that is longer than its side of the panel has smaller letters.
    const fitted = (text, from, to, room) => {
      const whole = this.view.wide(text, type);
      const part = Math.min(1, (room - 4) / whole);
      const half = (whole * part) / 2 + 2;
      return [clamp((from + to) / 2, half, room - half), { "text-anchor": "middle", style: `font-size: ${type * part}px` }];
    };
    const [middle, across] = fitted(spec.x.label, area.left, area.right, width);
    nodes.push(word(spec.x.label, { x: middle, y: height - type * 0.45, ...across }));
    const [upright, along] = fitted(spec.y.label, area.top, area.bottom, height);
    nodes.push(word(spec.y.label, { transform: `translate(${type * 0.9} ${upright}) rotate(-90)`, ...along }));
    if (spec.title) nodes.push(word(spec.title, { x: (area.left + area.right) / 2, y: type * 1.1, "text-anchor": "middle" }));
    this.scenery.replaceChildren(...nodes);
  }

  // The pixels of an array of a mark; while the picture glides, between those of before and of now.
  pixels(mark, name) {
    const { view } = this;
    const along = name === "at" ? mark.along : ALONG[name];
    const pixel = along ? (value) => this[along].pixel(value) : (value) => value;
    const now = Array.from(view.array(mark, name), pixel);
    const held = mark.handles.find((handle) => handle?.held != null);
    if (held && along === held.drag.along && (name === "at" || name === along)) now[held.index] = pixel(held.held);
    if (!view.before) return now;
    const before = view.array(mark, name, view.before);
    return now.map((to, i) => {
      const from = pixel(before[i]);
      return Number.isFinite(from) && Number.isFinite(to) ? from + view.part * (to - from) : to;
    });
  }

  move() {
    for (const mark of this.marks) {
      const at = (name) => this.pixels(mark, name);
      mark.draw(mark.node, mark, at, this.area, this.view.words);
      mark.handles.forEach((handle) => handle?.move(at, this.area));
    }
  }

  // The numbers of every curve above the pointer.
  hover(event) {
    const frame = this.svg.getBoundingClientRect();
    const [x, y] = [event.clientX - frame.left, event.clientY - frame.top];
    const { left, right, top, bottom } = this.area;
    if (event.buttons || x < left || x > right || y < top || y > bottom) return this.view.tip.hide();
    const rows = this.marks.filter(({ kind, label }) => kind === "curve" && label).map((mark) => {
      const xs = this.view.array(mark, "x");
      const near = xs.reduce((best, value, i) => (Math.abs(this.x.pixel(value) - x) < Math.abs(this.x.pixel(xs[best]) - x) ? i : best), 0);
      return [mark, this.view.array(mark, "y")[near]];
    });
    if (!rows.length) return this.view.tip.hide();
    const head = `${this.spec.x.label}: ${written(this.x.value(x))}`;
    return this.view.tip.show(event, head, rows.filter(([, value]) => Number.isFinite(value)));
  }
}

// ---------------------------------------------------------------- handles

class Handle {
  constructor(panel, mark, drag, index) {
    Object.assign(this, { panel, mark, drag, index, held: null });
    this.range = panel.view.ranges[drag.knob];
    this.knob = this.range.knob;
    const attributes = {
      role: "slider",
      tabindex: 0,
      class: `mapl-handle mapl-along-${drag.along}`,
      "data-knob": drag.knob,
      "aria-label": this.knob.label,
      "aria-valuemin": this.knob.low,
      "aria-valuemax": this.knob.high,
      "aria-orientation": drag.along === "x" ? "horizontal" : "vertical",
    };
    this.node = shape(mark.kind === "rule" ? "path" : "circle", attributes, shape("title", {}, `drag to set ${this.knob.label}`));
    this.node.addEventListener("pointerdown", (event) => this.take(event));
    // Without this a finger that moves scrolls the page, and the browser takes the pointer away.
    this.node.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    this.node.addEventListener("pointermove", (event) => this.pull(event));
    this.node.addEventListener("lostpointercapture", () => this.leave());
    this.node.addEventListener("keydown", (event) => this.key(event));
    panel.handles.append(this.node);
  }

  move(at, area) {
    const { node, mark, drag, index } = this;
    put(node, mark.kind === "rule" ? { d: across(drag.along, at("at")[0], area) } : { cx: at("x")[index], cy: at("y")[index], r: 22 });
    const value = this.panel.view.values[drag.knob];
    put(node, { "aria-valuenow": value, "aria-valuetext": spoken(this.knob, value) });
    node.toggleAttribute("aria-disabled", this.panel.view.idle.includes(drag.knob));
  }

  take(event) {
    if (event.button || this.panel.view.idle.includes(this.drag.knob)) return;
    this.node.setPointerCapture(event.pointerId);
    this.node.focus({ preventScroll: true });
    this.taken = true;
    event.preventDefault();
  }

  pull(event) {
    if (!this.taken) return;
    const frame = this.panel.svg.getBoundingClientRect();
    const { along } = this.drag;
    const pixel = along === "x" ? event.clientX - frame.left : event.clientY - frame.top;
    this.set(this.valueAt(this.panel[along].value(pixel)));
  }

  // Read at each use, because they change with the picture.
  numbers() {
    const { view } = this.panel;
    return ["factor", "offset"].map((name) => view.array(this.mark, name)[this.index]);
  }

  valueAt(coordinate) {
    const [factor, offset] = this.numbers();
    return this.range.fit(factor * coordinate + offset);
  }

  set(value) {
    const [factor, offset] = this.numbers();
    this.held = (value - offset) / factor;
    this.panel.view.set(this.drag.knob, value);
    this.panel.view.draw();
  }

  leave() {
    this.taken = false;
    this.panel.view.whenIdle(() => {
      this.held = null;
    });
  }

  key(event) {
    const along = Math.sign(this.numbers()[0]); // so that the mark goes where the arrow points
    const way = { ArrowUp: along, ArrowRight: along, ArrowDown: -along, ArrowLeft: -along, PageUp: 10, PageDown: -10 }[event.key];
    const end = { Home: 0, End: this.range.count }[event.key];
    if (way === undefined && end === undefined) return;
    event.preventDefault();
    const { view } = this.panel;
    const place = end ?? clamp(this.range.place(view.values[this.drag.knob]) + way, 0, this.range.count);
    view.set(this.drag.knob, this.range.value(place));
  }
}

const spoken = (knob, value) => (typeof value === "number" ? `${written(value)}${knob.unit ? ` ${knob.unit}` : ""}` : value);

// ---------------------------------------------------------------- controls

class Control {
  constructor(knob, view) {
    Object.assign(this, { knob, view });
    const name = knob.unit ? `${knob.label} (${knob.unit})` : knob.label;
    this.row = element("div", { class: "mapl-knob", title: knob.help, "data-knob": knob.name });
    if (knob.options) this.addChoice(name);
    else this.addNumber(name);
  }

  addChoice(name) {
    this.inputs = [element("select", {})];
    this.inputs[0].addEventListener("change", () => this.view.set(this.knob.name, this.inputs[0].value));
    this.row.append(element("label", {}, element("span", { text: name }), this.inputs[0]));
  }

  addNumber(name) {
    this.range = this.view.ranges[this.knob.name];
    const box = element("input", { type: "text", inputmode: "decimal", autocomplete: "off", size: 7 });
    const slider = element("input", { type: "range", min: 0, max: this.range.count, step: 1, "aria-label": name });
    this.inputs = [box, slider];
    box.addEventListener("change", () => this.view.line.say({ kind: "set", knob: this.knob.name, value: box.value }));
    slider.addEventListener("pointerdown", () => this.view.stop());
    slider.addEventListener("input", () => this.view.set(this.knob.name, this.range.value(Number(slider.value))));
    this.row.append(element("label", {}, element("span", { text: name }), box), slider);
  }

  show(value, options) {
    if (options && options.join("\n") !== [...this.inputs[0].options].map((one) => one.value).join("\n")) {
      this.inputs[0].replaceChildren(...options.map((text) => element("option", { value: text, text: this.knob.labels[text] ?? text })));
    }
    const [box, slider] = this.inputs;
    box.value = value;
    if (!slider) return;
    box.value = String(value).replace("-", "−");
    slider.value = this.range.place(value);
    slider.setAttribute("aria-valuetext", spoken(this.knob, value));
  }

  disable(idle) {
    for (const input of this.inputs) input.disabled = idle;
  }
}

class Tip {
  constructor() {
    this.node = element("div", { class: "mapl-tip", hidden: true, "aria-hidden": "true" });
  }

  show(event, head, rows) {
    const lines = rows.map(([mark, value]) => {
      const name = element("span", { text: mark.label, style: `border-color: ${paint(mark.color)}` });
      return element("div", {}, name, element("span", { text: written(value) }));
    });
    this.node.replaceChildren(element("div", { text: head }), ...lines);
    this.node.hidden = false;
    const frame = this.node.parentElement.getBoundingClientRect();
    const left = clamp(event.clientX - frame.left + 16, 0, Math.max(0, frame.width - this.node.offsetWidth));
    this.node.style.left = `${left}px`;
    this.node.style.top = `${event.clientY - frame.top + 16}px`;
  }

  hide() {
    this.node.hidden = true;
  }
}

function button(label, tip, action) {
  const node = element("button", { type: "button", title: tip, text: label });
  node.addEventListener("click", action);
  return node;
}

// The styles of the page that a saved file needs.
const LOOKS = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-family", "font-weight", "text-anchor", "dominant-baseline", "paint-order"];

function copyStyles(from, to) {
  const style = getComputedStyle(from);
  to.removeAttribute("style");
  for (const name of LOOKS) to.style.setProperty(name, style.getPropertyValue(name));
  [...from.children].forEach((child, i) => copyStyles(child, to.children[i]));
}

function saved(file, ending) {
  const link = element("a", { href: URL.createObjectURL(file), download: `explorer.${ending}` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// Twice as many pixels as on the page: sharp on paper and on dense screens.
async function raster(file) {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  await image.decode();
  const canvas = element("canvas", { width: 2 * image.width, height: 2 * image.height });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(image.src);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

// ---------------------------------------------------------------- the whole view

const TRAITS = ["picture", "curves", "numbers", "words", "values", "idle", "options", "says", "pinned"];

class View {
  constructor(model, el) {
    Object.assign(this, { model, el, panels: [], before: null, part: 1, asked: {} });
    this.tip = new Tip();
    this.nodes = {
      banner: element("div", { class: "mapl-banner", role: "alert", hidden: true }),
      key: element("div", { class: "mapl-key" }),
      panels: element("div", { class: "mapl-panels" }),
      tools: element("div", { class: "mapl-tools" }),
      knobs: element("div", { class: "mapl-knobs" }),
      refusal: element("div", { class: "mapl-refusal", role: "alert", hidden: true }),
      says: element("div", { class: "mapl-says", "aria-live": "polite" }),
    };
    const { banner, key, panels, tools, knobs, refusal, says } = this.nodes;
    const below = element("div", { class: "mapl-below" }, element("div", { class: "mapl-set" }, refusal, knobs), says);
    this.root = element("div", { class: "mapl-view" }, banner, key, panels, tools, below, this.tip.node);
    el.append(this.root);
    // In JupyterLab arrow keys go to the next cell and Enter into it; here they move a slider and end a number.
    this.root.addEventListener("keydown", (event) => {
      if (/^(Arrow|Page|Home|End|Enter)/.test(event.key) && !event.shiftKey && !event.ctrlKey) event.stopPropagation();
    });
    this.line = new Line(model, (lost) => this.silent(lost), (error) => this.refused(error));
    this.line.idle = () => this.settled();
    this.waiting = [];
    this.addTools();
    this.addKnobs();
    this.changed = () => this.take();
    for (const name of TRAITS) model.on(`change:${name}`, this.changed);
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(el);
    this.resized = () => this.resize();
    window.addEventListener("resize", this.resized);
    this.read();
    this.build();
    const { serial, error } = this.model.get("answer");
    if (serial === "address") this.refused(error);
    this.line.say({ kind: "hello" }); // a stored notebook has nobody who answers, and says so
  }

  // Several traits change with one message: they are looked at together, before the next picture is painted.
  take() {
    if (this.taking) return;
    this.taking = true;
    queueMicrotask(() => {
      this.taking = false;
      const picture = this.picture;
      const numbers = this.numbers;
      this.read();
      if (this.picture !== picture) this.build();
      else this.glideFrom(numbers);
      this.showKnobs();
    });
  }

  read() {
    this.numbers = ["curves", "numbers"].map((name) => floats(this.model.get(name)));
    for (const name of ["picture", "words", "idle", "options"]) this[name] = this.model.get(name);
    // What a person has asked for since then holds; else the next key would step from an old place.
    this.values = { ...this.model.get("values"), ...this.asked };
    this.nodes.pin.setAttribute("aria-pressed", this.model.get("pinned"));
    if (this.said !== this.model.get("says")) {
      this.said = this.model.get("says");
      this.nodes.says.innerHTML = this.said;
    }
  }

  // An array of a mark: its kind says whether it is among the long arrays (0) or the short ones (1).
  array(mark, name, numbers = this.numbers) {
    const [kind, start, count] = mark.arrays[name];
    return numbers[kind].subarray(start, start + count);
  }

  build() {
    this.before = null;
    const specs = this.picture.panels;
    this.panels = specs.map((spec, i) => this.panels[i] ?? new Panel(this));
    this.panels.forEach((panel, i) => panel.become(specs[i]));
    const nodes = this.panels.map((panel) => panel.node);
    if (nodes.length !== this.nodes.panels.children.length) this.nodes.panels.replaceChildren(...nodes);
    this.nodes.key.replaceChildren(...this.picture.key.map((mark) => this.sample(mark)));
    this.size = null; // the new picture has a place of its own
    this.resize();
  }

  sample(mark) {
    const svg = shape("svg", { class: "mapl-sample", viewBox: "0 0 40 16", "aria-hidden": "true" });
    const dash = mark.dash.map((length) => length * mark.width).join(" ") || "none";
    const look = MARKS[mark.kind].filled
      ? shape("rect", { x: 4, y: 2, width: 32, height: 12, style: `fill: ${paint(mark.color)}; opacity: ${mark.opacity}` })
      : mark.kind === "points"
        ? shape("path", { d: SHAPES[mark.shape], transform: "translate(20 8) scale(12)", style: `fill: ${paint(mark.color)}` })
        : shape("path", { d: "M1 8H39", style: `stroke: ${paint(mark.color)}; stroke-width: ${mark.width}; stroke-dasharray: ${dash}; opacity: ${mark.opacity}` });
    svg.append(look);
    return element("span", { class: "mapl-label" }, svg, mark.label);
  }

  resize() {
    const width = this.el.clientWidth;
    if (!width || !this.panels.length) return;
    const narrow = width < NARROW;
    const type = clamp(width / 68, 13, 24);
    this.root.style.setProperty("--mapl-type", `${type}px`);
    this.root.classList.toggle("mapl-narrow", narrow);
    const height = narrow ? clamp(width * 0.7, 200, 320) : clamp(this.room(), 180, width * 0.34);
    const size = [width, height, type].join();
    if (size === this.size) return; // the words next to the controls need another line, and the picture has its place
    this.size = size;
    const whole = this.panels.reduce((sum, { spec }) => sum + spec.share, 0);
    for (const panel of this.panels) panel.resize(narrow ? width : Math.floor((width * panel.spec.share) / whole), height, type);
    this.draw();
  }

  // How high the picture can be: on a page of its own all else fits below it, in a notebook the controls begin below.
  room() {
    const page = this.el.closest(".mapl-gallery");
    if (!page) return window.innerHeight * 0.46;
    const others = this.root.offsetHeight - this.nodes.panels.offsetHeight;
    return window.innerHeight - this.root.getBoundingClientRect().top - window.scrollY - others - 12;
  }

  wide(text, type) {
    View.canvas ??= document.createElement("canvas").getContext("2d");
    View.canvas.font = `${type}px ${getComputedStyle(this.root).fontFamily}`;
    return View.canvas.measureText(text).width;
  }

  draw() {
    this.remember();
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.panels.forEach((panel) => panel.area && panel.move()));
  }

  // Where this explorer can be opened again as it is.
  address() {
    const url = new URL(location.pathname, location.href);
    for (const [name, value] of Object.entries({ explorer: this.model.get("title"), ...this.model.get("values") })) {
      url.searchParams.set(name, value);
    }
    return url.href;
  }

  // A page that is loaded again comes back as it was. Browsers slow down pages that write their address all the time.
  remember() {
    clearTimeout(this.remembering);
    if (!this.model.get("title")) return;
    this.remembering = setTimeout(() => this.root.offsetHeight && history.replaceState(null, "", this.address()), 300);
  }

  // Presets move the picture over a moment, so that one sees what goes where.
  glideFrom(numbers) {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches || numbers.some((each, i) => each.length !== this.numbers[i].length);
    this.before = this.glides && !still ? numbers : null;
    this.glides = false;
    if (!this.before) return this.draw();
    const start = performance.now();
    const step = (now) => {
      this.part = clamp((now - start) / GLIDE, 0, 1);
      if (this.part === 1) this.before = null;
      this.panels.forEach((panel) => panel.area && panel.move());
      if (this.before === numbers) this.frame = requestAnimationFrame(step);
    };
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(step);
  }

  set(knob, value) {
    this.glides = false;
    this.asked[knob] = value;
    this.values = { ...this.values, [knob]: value };
    this.showKnobs();
    this.line.say({ kind: "set", knob, value });
  }

  addTools() {
    const made = this.model.get("buttons").map(({ label, tip, kind }) => button(label, tip, () => this.tell({ kind, label })));
    this.nodes.pin = button("pin", "leave this picture behind, to compare the next with", () => this.tell({ kind: "pin" }));
    this.nodes.play = button("play", "go along the horizontal axis from end to end", () => this.play());
    this.nodes.tools.append(...made, this.nodes.pin, this.nodes.play, this.menu());
  }

  menu() {
    const items = {
      "copy as Python": () => navigator.clipboard.writeText(this.model.get("code")),
      ...(this.model.get("title") && { "copy link": () => navigator.clipboard.writeText(this.address()) }),
      "save as SVG": () => saved(this.pictureFile(), "svg"),
      "save as PNG": () => raster(this.pictureFile()).then((file) => saved(file, "png")),
      "full screen": () => (document.fullscreenElement ? document.exitFullscreen() : this.root.requestFullscreen()),
    };
    const menu = element("details", { class: "mapl-menu" }, element("summary", { text: "more" }));
    const chosen = (action) => () => {
      menu.open = false;
      Promise.resolve(action()).catch((error) => this.refused(String(error)));
    };
    menu.append(element("div", {}, ...Object.entries(items).map(([label, action]) => button(label, null, chosen(action)))));
    menu.addEventListener("focusout", ({ relatedTarget }) => menu.contains(relatedTarget) || (menu.open = false));
    return menu;
  }

  tell(message) {
    this.stop();
    this.glides = message.kind === "preset" || message.kind === "reset";
    this.line.say(message);
  }

  play() {
    if (this.playing) return this.stop();
    const range = this.ranges[this.picture.sweep] ?? Object.values(this.ranges).find(({ knob }) => !this.idle.includes(knob.name));
    const from = range.place(this.values[range.knob.name]) % range.count;
    const start = performance.now() - (from / range.count) * SWEEP;
    this.nodes.play.textContent = "stop";
    const step = (now) => {
      const part = clamp((now - start) / SWEEP, 0, 1);
      if (!this.line.waiting) this.set(range.knob.name, range.value(Math.round(part * range.count)));
      if (part === 1) this.stop();
      else this.playing = requestAnimationFrame(step);
    };
    this.playing = requestAnimationFrame(step);
  }

  stop() {
    cancelAnimationFrame(this.playing);
    this.playing = null;
    this.nodes.play.textContent = "play";
  }

  // The picture as a file of its own: the panels next to each other, with the colours that they have here.
  pictureFile() {
    const frame = this.nodes.panels.getBoundingClientRect();
    const file = shape("svg", { xmlns: SVG, width: frame.width, height: frame.height });
    const style = getComputedStyle(this.root);
    file.append(shape("rect", { width: "100%", height: "100%", fill: style.backgroundColor }));
    for (const { svg } of this.panels) {
      const box = svg.getBoundingClientRect();
      const copy = svg.cloneNode(true);
      copyStyles(svg, copy);
      copy.querySelectorAll(".mapl-handle").forEach((handle) => handle.remove());
      file.append(put(copy, { x: box.left - frame.left, y: box.top - frame.top }));
    }
    return new Blob([new XMLSerializer().serializeToString(file)], { type: "image/svg+xml" });
  }

  addKnobs() {
    const knobs = this.model.get("knobs");
    this.ranges = Object.fromEntries(knobs.filter((knob) => !knob.options).map((knob) => [knob.name, new Range(knob)]));
    this.controls = knobs.map((knob) => new Control(knob, this));
    this.nodes.knobs.append(...this.controls.map((control) => control.row));
    Object.assign(this, { values: this.model.get("values"), idle: this.model.get("idle"), options: this.model.get("options") });
    this.showKnobs();
  }

  showKnobs() {
    for (const control of this.controls) {
      control.show(this.values[control.knob.name], this.options[control.knob.name]);
      control.disable(this.idle.includes(control.knob.name));
    }
  }

  silent(lost) {
    this.nodes.banner.hidden = !lost;
    this.nodes.banner.textContent = lost ? SILENT : "";
  }

  refused(error) {
    this.nodes.refusal.hidden = !error;
    this.nodes.refusal.textContent = error;
    if (error) this.settled();
  }

  whenIdle(then) {
    this.waiting.push(then);
    if (!this.line.waiting) this.settled();
  }

  // Python's values hold again, whatever a person last asked for.
  settled() {
    this.waiting.splice(0).forEach((then) => then());
    this.asked = {};
    this.values = this.model.get("values");
    this.showKnobs();
    this.draw();
  }

  end() {
    this.line.end();
    this.stop();
    this.observer.disconnect();
    window.removeEventListener("resize", this.resized);
    cancelAnimationFrame(this.frame);
    clearTimeout(this.remembering);
    for (const name of TRAITS) this.model.off(`change:${name}`, this.changed);
  }
}

export default {
  render({ model, el }) {
    const view = new View(model, el);
    return () => view.end();
  },
};
