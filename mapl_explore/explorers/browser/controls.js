// Sliders, boxes, lists and buttons below the picture, the numbers at the pointer, and the picture as a file.

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
    box.addEventListener("input", () => this.type());
    box.addEventListener("change", () => this.typed());
    box.addEventListener("blur", () => (this.typing = false));
    box.addEventListener("keydown", ({ key }) => key === "Escape" && this.takeBack());
    box.addEventListener("keydown", ({ key }) => key === "Enter" && this.typed()); // JupyterLite keeps it from being a change
    slider.addEventListener("pointerdown", () => this.touch());
    slider.addEventListener("pointercancel", () => this.view.set(this.knob.name, this.before)); // the finger scrolls the page
    slider.addEventListener("input", () => this.view.set(this.knob.name, this.range.value(Number(slider.value))));
    this.row.append(element("label", {}, element("span", { text: name }), box), slider);
  }

  // A browser moves a slider to where a finger comes down, whatever that finger is about to do.
  touch() {
    this.before = this.view.values[this.knob.name];
    this.view.stop();
  }

  // What is being typed stays: the answer to an earlier change would put the old number in its place.
  type() {
    this.typing = true;
    this.view.stop();
  }

  typed() {
    if (!this.typing) return;
    this.typing = false;
    this.view.line.say({ kind: "set", knob: this.knob.name, value: this.inputs[0].value });
  }

  takeBack() {
    this.typing = false;
    this.show(this.view.values[this.knob.name]);
  }

  show(value, options) {
    if (options && options.join("\n") !== [...this.inputs[0].options].map((one) => one.value).join("\n")) {
      this.inputs[0].replaceChildren(...options.map((text) => element("option", { value: text, text: this.knob.labels[text] ?? text })));
    }
    const [box, slider] = this.inputs;
    if (!slider) {
      box.value = value;
      return;
    }
    if (!this.typing) box.value = String(value).replace("-", "−");
    slider.value = this.range.place(value);
    put(slider, { "aria-valuetext": spoken(this.knob, value) });
  }

  disable(idle) {
    for (const input of this.inputs) input.disabled = idle;
    this.row.hidden = idle && Boolean(this.knob.spare);
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

const MOMENT = 1500; // ms for which a button says what was done

// A list of actions behind a button, each with what it is called at the time; an action may return a word on what was done.
function menuOf(view, items) {
  const list = element("div", {});
  const menu = element("details", { class: "mapl-menu" }, element("summary", { text: view._("more") }), list);
  const close = () => {
    if (menu.contains(document.activeElement)) menu.firstChild.focus();
    menu.open = false;
  };
  // A button says what was done for a moment, and then the menu closes.
  const said = (node, called, word) => {
    node.textContent = word ?? called();
    view.nodes.status.textContent = word ?? "";
    if (word) setTimeout(() => said(node, called), MOMENT);
    else close();
  };
  const chosen = (called, action) => ({ currentTarget: node }) =>
    Promise.resolve(action()).then((word) => said(node, called, word)).catch((error) => close(view.refused(String(error))));
  const buttons = items.map(([called, action]) => button(called(), null, chosen(called, action)));
  list.append(...buttons);
  // It ends below the right end of its button, or further to the right where it would begin beyond the explorer, and is
  // scrolled to where it would end below the window.
  menu.addEventListener("toggle", () => {
    items.forEach(([called], i) => (buttons[i].textContent = called()));
    const room = menu.getBoundingClientRect().right - view.root.getBoundingClientRect().left;
    list.style.right = `${Math.min(0, room - list.offsetWidth)}px`;
    if (menu.open) list.scrollIntoView({ block: "nearest" });
  });
  menu.addEventListener("keydown", ({ key }) => key === "Escape" && close());
  menu.addEventListener("focusout", ({ relatedTarget }) => menu.contains(relatedTarget) || (menu.open = false));
  return menu;
}

// The styles of the page that a saved file needs.
const LOOKS = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-family", "font-weight", "text-anchor", "dominant-baseline", "paint-order"];

function copyStyles(from, to) {
  const style = getComputedStyle(from);
  to.removeAttribute("style");
  for (const name of LOOKS) to.style.setProperty(name, style.getPropertyValue(name));
  [...from.children].forEach((child, i) => copyStyles(child, to.children[i]));
}

// The picture as a file of its own: key and panels where they stand, with the colours that they have here.
function pictureFile({ root, nodes: { picture } }) {
  const frame = picture.getBoundingClientRect();
  const file = shape("svg", { xmlns: SVG, width: frame.width, height: frame.height });
  const style = getComputedStyle(root);
  file.append(shape("rect", { width: "100%", height: "100%", fill: style.backgroundColor }));
  const within = ({ left, top }) => ({ x: left - frame.left, y: top - frame.top });
  for (const svg of picture.querySelectorAll("svg")) {
    const copy = svg.cloneNode(true);
    copyStyles(svg, copy);
    copy.querySelectorAll(".mapl-handle, .mapl-grip").forEach((handle) => handle.remove());
    const { width, height, ...box } = svg.getBoundingClientRect().toJSON();
    file.append(put(copy, { ...within(box), width, height }));
  }
  for (const { lastChild: text } of picture.querySelectorAll(".mapl-label")) {
    const range = document.createRange();
    range.selectNode(text);
    const box = range.getBoundingClientRect();
    const look = { "dominant-baseline": "central", fill: style.color, "font-size": style.fontSize, "font-family": style.fontFamily };
    if (box.width) file.append(shape("text", { ...within(box), ...look, dy: box.height / 2 }, text.textContent));
  }
  return new Blob([new XMLSerializer().serializeToString(file)], { type: "image/svg+xml" });
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
