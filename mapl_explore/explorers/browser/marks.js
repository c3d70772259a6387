// What is drawn for each kind of mark, from its arrays in pixels.

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
  left: "M0 0L.87 -.5L.87 .5Z",
  right: "M0 0L-.87 -.5L-.87 .5Z",
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
        if (shades) one.style.fill = shade(mark.scale, shades[i]);
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
    draw(node, mark, at, { grown }) {
      const [xs, ys] = [at("x"), at("y")];
      keep(node, xs.length, "path").forEach((one, i) => {
        const transform = drawn(xs[i], ys[i]) ? `translate(${point(xs[i], ys[i])}) scale(${mark.width * POINT * grown})` : "scale(0)";
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
        put(word, { x: xs[i].toFixed(2), y: ys[i].toFixed(2) });
        fit(word, words[mark.texts[0] + i], area.right - area.left);
      });
    },
  },
};

// Words that are wider than their panel have smaller letters.
function fit(word, text, room) {
  if (word.textContent === text && word.room === room) return;
  Object.assign(word, { textContent: text, room });
  word.style.fontSize = "";
  const part = room / word.getComputedTextLength();
  if (part < 1) word.style.fontSize = `${part}em`;
}

// The colour at a place of a scale, from -1 through its middle at 0 to 1.
const shade = (scale, value) => {
  const much = Math.round(100 * clamp(Math.abs(value), 0, 1));
  return `color-mix(in srgb, var(--mapl-${scale}-${value < 0 ? "low" : "high"}) ${much}%, var(--mapl-${scale}-zero))`;
};

function keep(node, count, tag) {
  while (node.children.length > count) node.lastChild.remove();
  while (node.children.length < count) node.append(shape(tag));
  return [...node.children];
}

// The axis of each array of a mark; an array that is not here is no coordinate.
const ALONG = { x: "x", left: "x", right: "x", to_x: "x", y: "y", low: "y", high: "y", bottom: "y", top: "y", to_y: "y" };
