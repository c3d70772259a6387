// A model that answers the view of an explorer from what was recorded when the site was built: no Python is there to ask.
// `explorer` is the widget's own module, put above this one, which draws here what it draws in a notebook.
const place = document.querySelector(".live-explorer");
const { fixed, tracks, parts } = await unpacked(document.querySelector("#recorded").textContent);
const listeners = new Map();
const range = new Range(fixed.knobs[0]);
let track = tracks.reset;
const state = { ...fixed, ...shown(track.start), answer: {} };
const model = {
    get: (name) => state[name],
    on: (event, listener) => listeners.set(event, [...(listeners.get(event) ?? []), listener]),
    off: (event, listener) => listeners.set(event, (listeners.get(event) ?? []).filter((one) => one !== listener)),
    send: (message) => queueMicrotask(() => answer(message)),
};

async function unpacked(text) {
    const stream = new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
}

function bytes(text) {
    return new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}

// Numbers are text in the record.
function shown(place) {
    const now = Object.fromEntries(Object.entries(place).map(([name, part]) => [name, parts[part]]));
    return { ...now, curves: bytes(now.curves), numbers: bytes(now.numbers) };
}

function answer({ kind, label, value, serial }) {
    let error = "";
    if (kind === "set") error = go(value);
    if (kind === "preset" || kind === "reset") {
        track = tracks[label];
        change(shown(track.start));
    }
    change({ answer: { serial, error } });
}

// JavaScript reads 0x10 as 16, and knows no inf.
const NUMBER = /^[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?|nan)$/i;

// What is typed is a text; between two places the nearer one is shown, and that is said.
function go(value) {
    const { label, low, high, default: start } = range.knob;
    const text = String(value).trim().replace(/[−–]/g, "-");
    const [number, rule] = [Number(text), `${label} must be a number`]; // in the words of Knob.typed, which is not here to ask
    const wanted = text.includes(",") ? ` with a point, such as ${start.toFixed(1)}` : `, such as ${start}`;
    if (!NUMBER.test(text)) return `${rule}${wanted}, not '${value}'`;
    if (!(number >= low && number <= high)) return `${rule} in [${low}, ${high}], not '${value.trim()}'`;
    const place = range.place(number);
    change(shown(track.places[place]));
    const near = range.value(place);
    return typeof value === "string" && near !== number ? `${text} was not recorded; this is ${near}, the nearest that was.` : "";
}

function change(news) {
    const changed = Object.keys(news).filter((name) => state[name] !== news[name]);
    Object.assign(state, news);
    for (const name of changed) for (const listener of listeners.get(`change:${name}`) ?? []) listener();
}

// The page's theme, as an explorer looks for it.
function followTheme() {
    const { theme } = document.body.dataset;
    const dark = theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
    document.body.dataset.jpThemeLight = !dark;
}

followTheme();
addEventListener("beforeprint", () => (document.body.dataset.jpThemeLight = true)); // paper is white
addEventListener("afterprint", followTheme);
new MutationObserver(followTheme).observe(document.body, { attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", followTheme);
place.replaceChildren();
explorer.render({ model, el: place });
