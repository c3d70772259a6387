// Draws what Python describes, and tells Python what a person does. Every number comes from Python: these scripts turn
// numbers into pixels, and pixels into the value of a knob.

const GLIDE = 300; // ms
const RIM = 12; // pixels around what has the screen to itself
const SWEEP = 8000; // ms, from one end of a slider to the other
const NARROW = 640; // pixels of width below which panels stand below each other
const LOW = 260; // pixels of height below which tables fold: the picture takes their place

const TRAITS = ["picture", "curves", "numbers", "words", "values", "idle", "options", "says", "pinned"];

class View {
  constructor(model, el) {
    Object.assign(this, { model, el, panels: [], before: null, part: 1, asked: {}, height: Infinity, folds: 0, opened: new Map() });
    this.tip = new Tip();
    this.nodes = {
      banner: element("div", { class: "mapl-banner", role: "alert", hidden: true }),
      key: element("div", { class: "mapl-key" }),
      panels: element("div", { class: "mapl-panels" }),
      picture: element("div", {}),
      tools: element("div", { class: "mapl-tools" }),
      knobs: element("div", { class: "mapl-knobs" }),
      refusal: element("div", { class: "mapl-refusal", role: "alert", hidden: true }),
      says: element("div", { class: "mapl-says", "aria-live": "polite" }),
      status: element("div", { class: "mapl-status", role: "status" }), // for those who do not see what a button says
      below: element("div", { class: "mapl-below" }),
    };
    const { banner, key, panels, picture, tools, knobs, refusal, says, status, below } = this.nodes;
    picture.append(key, panels);
    below.append(knobs, says);
    this.root = element("div", { class: "mapl-view", lang: model.get("language") }, picture, tools, banner, refusal, below, status, this.tip.node);
    el.append(this.root);
    says.addEventListener("click", ({ target }) => this.unfold(target.closest("summary")));
    this.root.addEventListener("pointerdown", () => this.tip.hide()); // a tap elsewhere
    // In JupyterLab a key is a command: arrows leave the cell, x cuts it, m makes it text. Here keys move sliders and
    // write numbers; what is held with ctrl, alt or meta, and shift with Enter, which runs the cell, remain commands.
    this.root.addEventListener("keydown", (event) => {
      const command = event.ctrlKey || event.altKey || event.metaKey || (event.shiftKey && event.key === "Enter");
      if (!command) event.stopPropagation();
    });
    // A box has its own menu, with what is copied and pasted; JupyterLab's would take the keys that write a number.
    this.root.addEventListener("contextmenu", (event) => event.target.matches("input, select") && event.stopPropagation());
    this.line = new Line(model, (lost) => this.silent(lost), (message, error) => this.answered(message, error));
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
    this.root.addEventListener("fullscreenchange", this.resized);
    this.read();
    this.build();
    const { serial, error } = this.model.get("answer");
    if (serial === "address") this.refused(error);
    this.line.say({ kind: "hello" }); // a stored notebook has nobody who answers, and says so
  }

  // Words of these scripts in the language of the explorer.
  _(text) {
    return this.model.get("spoken")[text] ?? text;
  }

  get pinTip() {
    return this._("leave this picture behind, to compare the next with");
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
    const pinned = this.model.get("pinned");
    put(this.nodes.pin, { "aria-pressed": Boolean(pinned), title: pinned ? this._("pinned: {settings}; once more takes it away").replace("{settings}", pinned) : this.pinTip });
    if (this.said !== this.model.get("says")) {
      this.said = this.model.get("says");
      this.nodes.says.innerHTML = this.said;
      this.fold(this.folds);
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
    const step = (place, i) => shape("rect", { x: 4 + 8 * i, y: 2, width: 8, height: 12, style: `fill: ${shade(mark.scale, place)}` });
    const look = mark.scale
      ? shape("g", { "shape-rendering": "crispEdges" }, ...[-1, -1 / 3, 1 / 3, 1].map(step))
      : MARKS[mark.kind].filled
      ? shape("rect", { x: 4, y: 2, width: 32, height: 12, style: `fill: ${paint(mark.color)}; opacity: ${mark.opacity}` })
      : mark.kind === "points"
        ? shape("path", { d: SHAPES[mark.shape], transform: "translate(20 8) scale(12)", style: `fill: ${paint(mark.color)}` })
        : shape("path", { d: "M1 8H39", style: `stroke: ${paint(mark.color)}; stroke-width: ${mark.width}; stroke-dasharray: ${dash}; opacity: ${mark.opacity}` });
    svg.append(look);
    return element("span", { class: "mapl-label" }, svg, mark.label);
  }

  resize() {
    const width = this.full ? this.root.clientWidth - 2 * RIM : this.el.clientWidth;
    if (!width || !this.panels.length) return;
    const narrow = width < NARROW;
    const type = clamp(width / 68, narrow ? 13 : 15, 24);
    this.root.style.setProperty("--mapl-type", `${type}px`);
    this.root.classList.toggle("mapl-narrow", narrow);
    const place = [this.full, width, window.innerWidth, window.innerHeight].join();
    if (place !== this.place) this.again();
    this.place = place;
    const height = narrow ? clamp(Math.min(width * 0.5, this.shown - RIM), 180, 300) : this.high(width, type);
    const size = [width, height, type].join();
    if (size === this.size) return;
    this.size = size;
    const whole = this.panels.reduce((sum, { spec }) => sum + spec.share, 0);
    for (const panel of this.panels) panel.resize(narrow ? width : Math.floor((width * panel.spec.share) / whole), height, type);
    this.draw();
  }

  // What the address of a page of explorers calls this one; in JupyterLab the address is that of the notebook.
  get title() { return this.noted ? "" : this.model.get("title"); }
  get noted() { return document.querySelector(".jp-NotebookPanel"); }
  get full() { return document.fullscreenElement === this.root; }
  get page() { return this.full || (!this.noted && this.el.closest(".mapl-gallery")); }
  get shown() { return this.el.closest(".jp-WindowedPanel-outer, .jp-Notebook")?.clientHeight || window.innerHeight; }

  // How high the picture is: on a page of its own all else fits below it, with a line to spare, and tables fold for it.
  // Words that come and go must not move it: it is never higher than it was, until the window has another size, and a
  // refusal or a banner takes nothing from it.
  high(width, type) {
    const words = Math.max(180, ...this.panels.map((panel) => panel.least(type)));
    if (!this.page) return (this.height = Math.min(this.height, clamp(this.above(), words, width * 0.34)));
    if (this.height < this.room() + 2) return this.height; // two: heights are read in whole pixels
    const tables = this.nodes.says.querySelectorAll("details").length;
    while (this.room() < LOW && this.folds < tables && !this.opened.size) this.fold(this.folds + 1);
    const room = this.room();
    const most = width * (window.innerHeight > window.innerWidth ? 0.6 : 0.34);
    const least = this.opened.size ? LOW : Math.min(words, LOW); // for a table that a person has opened the page scrolls
    this.height = Math.min(this.height, clamp(Math.max(room - 1.35 * type, Math.min(room, LOW)), least, most));
    return this.height;
  }

  // In a notebook the picture leaves room for its sliders: one sees what they do.
  above() {
    return Math.min(window.innerHeight * 0.46, this.shown - this.others(this.nodes.knobs) - RIM);
  }

  room() {
    return window.innerHeight - (this.full ? 0 : this.start + window.scrollY) - this.others(this.nodes.below) - RIM;
  }

  get start() { return this.root.getBoundingClientRect().top - this.root.scrollTop; }

  // How high all is that stands around the panels, down to the end of a node below them.
  others(last) {
    const { panels, banner, refusal } = this.nodes;
    const passing = panels.offsetHeight + banner.offsetHeight + refusal.offsetHeight;
    return last.getBoundingClientRect().bottom - this.start - passing;
  }

  again() {
    this.height = Infinity;
    this.fold(0);
  }

  // So many tables are folded, from the last one up; once a person has opened or closed one, no other folds by itself.
  fold(folds) {
    this.folds = folds;
    const tables = this.nodes.says.querySelectorAll("details");
    tables.forEach((table, i) => (table.open = this.opened.get(i) ?? i < tables.length - folds));
  }

  unfold(summary) {
    if (!summary) return;
    const tables = [...this.nodes.says.querySelectorAll("details")];
    const table = summary.parentElement;
    this.opened.set(tables.indexOf(table), !table.open); // the browser does it after this
    this.height = Infinity;
  }

  wide(text, type) {
    View.canvas ??= document.createElement("canvas").getContext("2d");
    View.canvas.font = `${type}px ${getComputedStyle(this.root).fontFamily}`;
    return View.canvas.measureText(text).width;
  }

  draw() {
    this.remember();
    if (this.before) return; // a glide draws every frame until it has arrived
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.move());
  }

  move() {
    this.panels.forEach((panel) => panel.area && panel.move());
  }

  // Where this explorer can be opened again as it is.
  address() {
    const url = new URL(location.pathname, location.href);
    for (const [name, value] of Object.entries({ explorer: this.title, ...this.model.get("values") })) {
      url.searchParams.set(name, value);
    }
    return url.href;
  }

  // A page that is loaded again comes back as it was. Browsers slow down pages that write their address all the time.
  remember() {
    clearTimeout(this.remembering);
    if (!this.title || location.origin === "null") return; // a page without a server has no address
    this.remembering = setTimeout(() => this.root.offsetHeight && history.replaceState(null, "", this.address()), 300);
  }

  // Presets move the picture over a moment, so that one sees what goes where.
  glideFrom(numbers) {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches || numbers.some((each, i) => each.length !== this.numbers[i].length);
    this.before = this.glides && !still ? numbers : null;
    this.glides = false;
    if (!this.before) return this.move();
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
    const presets = element("div", { class: "mapl-presets" });
    for (const { label, text, tip, kind } of this.model.get("buttons")) {
      const made = button(text, tip, () => this.tell({ kind, label }));
      (kind === "preset" ? presets : this.nodes.tools).append(made);
    }
    this.nodes.pin = button(this._("pin"), this.pinTip, () => this.tell({ kind: "pin" }));
    this.nodes.play = button(this._("play"), this._("go along the horizontal axis from end to end"), () => this.play());
    this.nodes.tools.prepend(presets);
    this.nodes.tools.append(this.nodes.pin, this.nodes.play, this.menu());
  }

  menu() {
    const copied = (text) => navigator.clipboard.writeText(text).then(() => this._("copied"));
    return menuOf(this, [
      [() => this._("copy as Python"), () => copied(this.model.get("code"))],
      ...(this.title ? [[() => this._("copy link"), () => copied(this.address())]] : []),
      [() => this._("save as SVG"), () => saved(pictureFile(this), "svg")],
      [() => this._("save as PNG"), () => raster(pictureFile(this)).then((file) => saved(file, "png"))],
      [
        () => (this.full ? this._("leave full screen") : this._("full screen")),
        () => (this.full ? document.exitFullscreen() : this.root.requestFullscreen()),
      ],
    ]);
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
    this.nodes.play.textContent = this._("stop");
    const step = (now) => {
      const part = clamp((now - start) / SWEEP, 0, 1);
      if (!this.line.busy || part === 1) this.set(range.knob.name, range.value(Math.round(part * range.count)));
      if (part === 1) this.stop();
      else this.playing = requestAnimationFrame(step);
    };
    this.playing = requestAnimationFrame(step);
  }

  stop() {
    cancelAnimationFrame(this.playing);
    this.playing = null;
    this.nodes.play.textContent = this._("play");
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
    if (lost) this.stop();
    this.nodes.banner.hidden = !lost;
    const [page, cell] = [this._("Load the page again: its address has what you have set."), this._("Run the cell, after those above it, to bring the sliders to life.")];
    const silent = this._("Python does not answer: it is busy, or not there any more.");
    this.nodes.banner.textContent = lost ? `${silent} ${this.title ? page : cell}` : "";
  }

  // What was wrong stays to be read until its knob has another value: a number that is typed, and left by a click
  // somewhere else, is refused in the moment in which that click is granted.
  answered({ kind, knob }, error) {
    if (kind === "hello") return; // what was wrong with the address stays, too
    const elsewhere = this.wrong && this.wrong !== knob && !["preset", "reset"].includes(kind);
    if (!error && elsewhere) return;
    this.wrong = error ? knob : null;
    this.refused(error);
  }

  refused(error) {
    this.nodes.refusal.hidden = !error;
    this.nodes.refusal.textContent = error;
    if (error) this.settled();
  }

  whenIdle(then) {
    this.waiting.push(then);
    if (!this.line.busy) this.settled();
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
