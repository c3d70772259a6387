// A panel: its axes, its marks, and what is dragged in it.

const LINE = 1.1; // heights of a letter, from one line of words to the next

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
    this.svg.addEventListener("click", (event) => this.hover(event)); // a finger that taps has left before
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
    const kept = new Set(this.marks.flatMap((mark) => mark.handles.flatMap((handle) => handle?.nodes)));
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
    if (mark.kind === "points") return `--color: ${paint(mark.color)}; --size: ${mark.width * POINT}; ${opacity}`;
    if (mark.kind === "words") {
      const anchor = { left: "start", middle: "middle", right: "end" }[mark.across];
      const base = { above: "text-after-edge", middle: "central", below: "text-before-edge" }[mark.upright];
      return `fill: ${paint(mark.color)}; text-anchor: ${anchor}; dominant-baseline: ${base}; font-size: calc(${mark.width / 16} * 1em); ${opacity}`;
    }
    const dash = mark.dash.map((length) => (length * mark.width * POINT).toFixed(1)).join(" ");
    return `stroke: ${paint(mark.color)}; stroke-width: ${mark.width * POINT * 0.8}px; stroke-dasharray: ${dash || "none"}; ${opacity}`;
  }

  margins(type) {
    const { x, title } = this.spec;
    return { top: Math.max(type * (title ? 1.9 : 0.7), this.own.offsetHeight + type * 0.3), bottom: type * (x.label ? 2.6 : 1.4) };
  }

  // The least height at which texts of one mark that stand below each other do not touch.
  least(type) {
    const parts = new Scale(this.spec.y, 0, 1);
    const apart = this.spec.marks.filter(({ kind }) => kind === "words").flatMap((mark) => {
      const [xs, ys] = ["x", "y"].map((name) => [...this.view.array(mark, name)]);
      const below = ys.slice(1).map((y, i) => (xs[i] === xs[i + 1] ? Math.abs(parts.pixel(y) - parts.pixel(ys[i])) : Infinity));
      return below.map((part) => (part * 16) / mark.width);
    });
    const { top, bottom } = this.margins(type);
    return top + bottom + (LINE * type) / Math.min(...apart);
  }

  resize(width, height, type) {
    const { x, y } = this.spec;
    for (const [name, value] of Object.entries({ width, height, viewBox: `0 0 ${width} ${height}` })) this.svg.setAttribute(name, value);
    const widest = Math.max(...y.ticks.map(([, text]) => this.view.wide(text, type)), 0);
    const { top, bottom } = this.margins(type);
    const area = {
      left: widest + type * (y.label ? 1.9 : 0.6),
      right: width - Math.max(type * 0.9, this.view.wide(x.ticks.at(-1)?.[1] ?? "", type) / 2 + 2),
      top,
      bottom: height - bottom,
      grown: Math.max(1, type / 18), // points, next to letters of 18 pixels and less
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
    // A label lies in the middle of the picture's side if it can, and has smaller letters where there is no room for it.
    const fitted = (text, middle, first, last) => {
      const whole = this.view.wide(text, type);
      const part = Math.min(1, (last - first - 4) / whole);
      const half = (whole * part) / 2 + 2;
      return [clamp(middle, first + half, last - half), { "text-anchor": "middle", style: `font-size: ${type * part}px` }];
    };
    const [middle, across] = fitted(spec.x.label, (area.left + area.right) / 2, 0, width);
    nodes.push(word(spec.x.label, { x: middle, y: height - type * 0.45, ...across }));
    const [upright, along] = fitted(spec.y.label, (area.top + area.bottom) / 2, this.own.offsetHeight, height);
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

class Handle {
  constructor(panel, mark, drag, index) {
    Object.assign(this, { panel, mark, drag, index, held: null, taken: false, from: null });
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
    this.node = shape(mark.kind === "rule" ? "path" : "circle", attributes, shape("title", {}, panel.view._("drag to set {label}").replace("{label}", this.knob.label)));
    // A finger that scrolls crosses a line that lies: there it takes the grip at its start alone.
    if (mark.kind === "rule" && drag.along === "y") this.grip = shape("circle", { class: "mapl-grip", r: 6, "aria-hidden": "true" });
    this.nodes = [this.node, this.grip].filter(Boolean);
    for (const node of this.nodes) {
      node.addEventListener("pointerdown", (event) => this.take(event));
      node.addEventListener("pointermove", (event) => this.pull(event));
      // Comes after the move of the pointer, which has told whether the finger drags; else it scrolls the page.
      node.addEventListener("touchmove", (event) => this.taken && event.preventDefault(), { passive: false });
      node.addEventListener("lostpointercapture", () => this.leave());
    }
    this.node.addEventListener("keydown", (event) => this.key(event));
    panel.handles.append(...this.nodes);
  }

  move(at, area) {
    const { node, mark, drag, index } = this;
    put(node, mark.kind === "rule" ? { d: across(drag.along, at("at")[0], area) } : { cx: at("x")[index], cy: at("y")[index], r: 22 });
    if (this.grip) put(this.grip, { cx: area.left, cy: at("at")[0] });
    const value = this.panel.view.values[drag.knob];
    put(node, { "aria-valuenow": value, "aria-valuetext": spoken(this.knob, value) });
    node.toggleAttribute("aria-disabled", this.panel.view.idle.includes(drag.knob));
  }

  take(event) {
    if (event.button || this.panel.view.idle.includes(this.drag.knob)) return;
    if (event.pointerType === "touch" && this.grip && event.currentTarget !== this.grip) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    this.node.focus({ preventScroll: true });
    this.from = event.pointerType === "touch" ? event : null;
    this.taken = !this.from;
    event.preventDefault();
  }

  // The first move of a finger tells: mostly along the way of the handle it drags, else it scrolls the page.
  begin({ clientX, clientY }) {
    const [x, y] = [Math.abs(clientX - this.from.clientX), Math.abs(clientY - this.from.clientY)];
    if (!x && !y) return;
    this.taken = this.drag.along === "x" ? x > y : y > x;
    this.from = null;
  }

  pull(event) {
    if (this.from) this.begin(event);
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
    this.from = null;
    this.panel.view.whenIdle(() => {
      this.held = null;
    });
  }

  key(event) {
    const along = Math.sign(this.numbers()[0]); // so that the mark goes where the arrow points
    const way = { ArrowUp: along, ArrowRight: along, ArrowDown: -along, ArrowLeft: -along, PageUp: 10 * along, PageDown: -10 * along }[event.key];
    const end = { Home: 0, End: this.range.count }[event.key];
    if (way === undefined && end === undefined) return;
    event.preventDefault();
    const { view } = this.panel;
    const place = end ?? clamp(this.range.place(view.values[this.drag.knob]) + way, 0, this.range.count);
    view.set(this.drag.knob, this.range.value(place));
  }
}

// "5 (1/nats)", where "5 1/nats" would be read as one number, and "5 nats".
const withUnit = (value, unit) => (/^\d/.test(unit) ? `${value} (${unit})` : `${value} ${unit}`.trim());
const spoken = (knob, value) => (typeof value === "number" ? withUnit(written(value), knob.unit) : value);
