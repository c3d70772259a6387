// Elements of a page, and numbers as pixels and as words.

const SVG = "http://www.w3.org/2000/svg";
const POINT = 4 / 3; // pixels in a point

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") node.textContent = value;
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

// Only what changes: a browser lays out and paints anew whatever is written, even the same path.
function put(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
  }
  return node;
}

function shape(tag, attributes = {}, ...children) {
  const node = put(document.createElementNS(SVG, tag), attributes);
  node.append(...children);
  return node;
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const paint = (color) => `var(--mapl-${color})`;

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
