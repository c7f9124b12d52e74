// The page of `lstm plot --page` and `lstm explain --page`: heat maps whose numbers can be pointed
// at. Texts of the data come from files: they become text nodes, and never markup.
"use strict";

/** @typedef {{count: number, first?: number, stride?: number, numbers?: number[]}} Numbers */
/** @typedef {{step: number, unit: number}} Place by their numbers in the run */
/**
 * The heat maps of an array of a view: (items, steps, units) in base64.
 * @typedef {{view: number, cell: number, name: string, typed: string, words: string,
 *   steps: Numbers, units: Numbers, scale: string, data: string}} Arrays
 */
/** @typedef {Place & {cell: number, focus: string, item: number}} First */
/**
 * @typedef {{views: {label: string, differs: boolean, command: string, selects: boolean}[],
 *   cells: {label: string, typed: string}[], items: number[], item: number, array: string,
 *   only: string, first: First | null, pool: string, pooling: [number, number], planes: Arrays[],
 *   exact: boolean,
 *   scales: Record<string, {low: number, high: number, gradient: string, pixels: string}>}} Data
 */

const ALL = "all";
const SIDE_BY_SIDE = -1; // the number of the view that is all of them
const LISTED = 24; // units of a step that are listed at once
const CELL = { width: 30, height: 18 }; // pixels of a step and a unit, at most
const MARGIN = { left: 42, right: 14, top: 12, bottom: 22 }; // pixels of a map, for numbers and marks
const CHART = { width: 360, height: 90 }; // of the lines of a unit
const FONT = "11px ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace";
/** @type {Record<string, [number, number]>} cells of steps and of units that a key goes */
const MOVES = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
  PageUp: [-10, 0], PageDown: [10, 0], Home: [-Infinity, 0], End: [Infinity, 0],
};

/** @param {string} id @returns {any} an element, of the type that the template has */
const element = (id) => document.getElementById(id);

/**
 * An element, of SVG if it is one of these tags.
 * @param {string} tag @param {Record<string, string | number>} attributes
 * @param {...(Node | string)} children @returns {any}
 */
function make(tag, attributes, ...children) {
  const drawn = ["svg", "path", "text"].includes(tag);
  const space = drawn ? "http://www.w3.org/2000/svg" : "http://www.w3.org/1999/xhtml";
  const made = document.createElementNS(space, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

/** @param {number} value @param {number} low @param {number} high */
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// ---- the data

/** Steps or units: each cell stands for `pool` of them. */
class Axis {
  /** @param {string} noun @param {Numbers} of @param {number} pool */
  constructor(noun, of, pool) {
    this.noun = noun;
    this.of = of;
    this.pool = pool;
    this.cells = Math.ceil(of.count / pool);
    this.first = this.number(0);
    this.last = this.number(of.count - 1);
  }

  /** @param {number} index @returns {number} in the run */
  number(index) {
    return this.of.numbers?.[index] ?? (this.of.first ?? 0) + index * (this.of.stride ?? 1);
  }

  /** @param {number} cell @returns {number} the first of a cell, or of the nearest one */
  start(cell) {
    return this.number(this.pool * clamp(cell, 0, this.cells - 1));
  }

  /** @param {number} number @returns {number} its index, or the nearest */
  index(number) {
    const index = this.of.numbers
      ? this.of.numbers.findLastIndex((one) => one <= number)
      : Math.floor((number - this.first) / (this.of.stride ?? 1));
    return clamp(index, 0, this.of.count - 1);
  }

  /** @param {number} number @returns {number} */
  cell(number) {
    return Math.floor(this.index(number) / this.pool);
  }

  /** @param {number} number @returns {boolean} */
  has(number) {
    return number >= this.first && number <= this.last;
  }

  /** @param {number} number @returns {string} ``step 3``, ``steps 0 to 12`` */
  words(number) {
    const cell = this.cell(number);
    const last = Math.min((cell + 1) * this.pool, this.of.count) - 1;
    const [start, end] = [this.start(cell), this.number(last)];
    return start === end ? `${this.noun} ${start}` : `${this.noun}s ${start} to ${end}`;
  }
}

/** The heat maps of an array of a view. */
class Plane {
  /** @type {Float32Array | Float64Array | undefined} */
  decoded;

  /** @param {Arrays} of */
  constructor(of) {
    this.of = of;
    this.view = data.views[of.view];
    this.scale = data.scales[of.scale];
    this.steps = new Axis("step", of.steps, data.pooling[0]);
    this.units = new Axis("unit", of.units, data.pooling[1]);
    const cell = data.cells.length > 1 ? `${data.cells[of.cell].label}.` : "";
    this.name = cell + of.name;
    this.words = [of.words, this.view.label].filter(Boolean).join(" · ");
  }

  /** @returns {Float32Array | Float64Array} the numbers, decoded once they are needed */
  get values() {
    const kind = data.exact ? Float64Array : Float32Array;
    this.decoded ??= new kind(Uint8Array.fromBase64(this.of.data).buffer);
    return this.decoded;
  }

  /** @returns {number} where the numbers of the chosen batch item start */
  get offset() {
    return data.items.indexOf(state.item) * this.steps.cells * this.units.cells;
  }

  /** @param {number} t @param {number} u @returns {number} of a cell */
  value(t, u) {
    return this.values[this.offset + t * this.units.cells + u];
  }

  /** @param {Place} place @returns {string} as the terminal shows it */
  text({ step, unit }) {
    if (!this.steps.has(step) || !this.units.has(unit)) return "–";
    const value = this.value(this.steps.cell(step), this.units.cell(unit));
    const [size, digits] = [Math.abs(value), 8];
    if (!Number.isFinite(value)) return String(value).replace("Infinity", "inf").toLowerCase();
    if (this.view.differs) return size ? value.toExponential(2).replace("+", "") : "0";
    if (size && (size < 1e-4 || size >= 1e8))
      return value.toExponential(digits).replace(/e(.)(\d)$/, "e$10$2");
    return value.toFixed(digits);
  }

  /** @param {number} value @returns {number} its level on the scale, 0 to 1 */
  level(value) {
    const { low, high } = this.scale;
    return clamp((value / 2 - low / 2) / (high / 2 - low / 2 || 0.5), 0, 1);
  }

  /** @param {number} columns @param {number} rows @returns {Float64Array} in these, pooled */
  pooled(columns, rows) {
    const [T, H, values, start] = [this.steps.cells, this.units.cells, this.values, this.offset];
    const found = new Float64Array(columns * rows);
    for (let n = 0; n < found.length; n++) {
      const [x, y] = [n % columns, Math.floor(n / columns)];
      const [right, bottom] = [Math.floor(((x + 1) * T) / columns), Math.floor(((y + 1) * H) / rows)];
      let [sum, extreme, count] = [0, 0, 0];
      for (let t = Math.floor((x * T) / columns); t < right; t++) {
        for (let u = Math.floor((y * H) / rows); u < bottom; u++) {
          const value = values[start + t * H + u];
          [sum, count] = [sum + value, count + 1];
          if (!(Math.abs(value) <= Math.abs(extreme))) extreme = value;
        }
      }
      found[n] = data.pool === "extreme" ? extreme : sum / count;
    }
    return found;
  }
}

/** @type {Data} */
const data = JSON.parse(element("data").textContent);
const { first } = data;
const planes = data.planes.map((of) => new Plane(of));
const state = {
  view: data.array && data.views.length > 1 ? SIDE_BY_SIDE : data.views.length - 1,
  item: data.item,
  cell: 0,
  array: data.array || ALL,
  focus: data.array, // the array that is read out and listed
  step: 0,
  unit: 0,
  listsAll: false,
  ...first,
};

/** @param {Plane} plane @returns {boolean} whether its view is chosen */
const isInView = ({ of }) => state.view === SIDE_BY_SIDE || of.view === state.view;

/** @returns {Plane[]} */
const shown = () =>
  planes.filter((plane) => isInView(plane) && plane.of.cell === state.cell
    && (state.array === ALL || plane.of.name === state.array));

/** @returns {Plane[]} the array in focus in all views */
const sides = () => planes.filter(({ of }) => of.cell === state.cell && of.name === state.focus);

/** @param {Plane} plane @returns {boolean} whether the first difference is on it */
const hasFirst = ({ of }) =>
  first !== null && of.cell === first.cell && of.name === first.focus && state.item === first.item;

// ---- heat maps

/** @typedef {ReturnType<typeof heatMap>} HeatMap */
/** @type {HeatMap[]} */
let maps = [];

/** @param {Plane} plane */
function heatMap(plane) {
  const label = `Heat map of ${plane.name}, ${plane.words}`;
  const role = { tabindex: 0, role: "application", "aria-label": label, "aria-describedby": "keys" };
  const [canvas, name] = [make("canvas", role), plane.of.name];
  const [value, image] = [make("span", { class: "value" }), make("canvas", {})];
  const map = { plane, canvas, value, image, width: 0, height: 0 };
  canvas.onpointermove = (/** @type {MouseEvent} */ event) => paint(placeAt(map, event));
  canvas.onpointerleave = () => paint();
  canvas.onclick = (/** @type {MouseEvent} */ event) => choose(placeAt(map, event), name);
  canvas.onfocus = () => choose({}, name);
  canvas.onkeydown = (/** @type {KeyboardEvent} */ event) => {
    const by = MOVES[event.key];
    if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const { steps, units } = plane;
    const [t, u] = [steps.cell(state.step) + by[0], units.cell(state.unit) + by[1]];
    choose({ step: steps.start(t), unit: units.start(u) }, name);
  };
  return map;
}

function drawMaps() {
  maps = shown().map(heatMap);
  element("maps").replaceChildren(...maps.map(({ plane: { name, words }, value, canvas }) => {
    const caption = make("figcaption", {}, make("b", {}, name), make("span", {}, words), value);
    return make("figure", {}, caption, canvas);
  }));
  const widest = Math.max(...maps.map(({ plane }) => plane.steps.cells)) * CELL.width;
  element("maps").style.setProperty("--least", `${clamp(widest + 2 * MARGIN.left, 270, 400)}px`);
  const byScale = Map.groupBy(shown(), (plane) => plane.scale);
  element("legend").replaceChildren(...[...byScale].map(([{ low, high, gradient }, found]) => {
    const [names, bar] = [new Set(found.map(({ of }) => of.name)), make("i", {})];
    bar.style.background = `linear-gradient(to right, ${gradient})`;
    const what = [...names, found[0].view.differs ? "difference" : ""].join(" ");
    return make("li", {}, `${what} ${low}`, bar, String(high));
  }));
  sizeMaps();
}

/** Draw the cells of each map for the room that it has. */
function sizeMaps() {
  for (const map of maps) {
    const { plane, canvas, image } = map;
    const room = Math.max(canvas.clientWidth, 2 * MARGIN.left);
    map.width = Math.min(room - MARGIN.left - MARGIN.right, plane.steps.cells * CELL.width);
    map.height = clamp(plane.units.cells * CELL.height, 28, 220);
    const tall = map.height + MARGIN.top + MARGIN.bottom;
    canvas.style.height = `${tall}px`;
    [canvas.width, canvas.height] = [room, tall].map((size) => Math.round(size * devicePixelRatio));
    image.width = Math.min(plane.steps.cells, Math.floor(map.width * devicePixelRatio));
    image.height = Math.min(plane.units.cells, Math.floor(map.height * devicePixelRatio));
    const colors = new Uint32Array(Uint8Array.fromBase64(plane.scale.pixels).buffer);
    const last = colors.length - 1; // the colour of NaN
    const numbers = plane.pooled(image.width, image.height);
    const pixels = Uint32Array.from(numbers, (value) =>
      colors[Number.isNaN(value) ? last : Math.round(plane.level(value) * (last - 1))]);
    const picture = new ImageData(new Uint8ClampedArray(pixels.buffer), image.width);
    image.getContext("2d")?.putImageData(picture, 0, 0);
  }
  paint();
}

/** @param {Axis} axis @param {number} size @param {number} least pixels from one number to the next */
function* ticks(axis, size, least) {
  let every = 1; // 2, 5, 10, 20, ...
  while (every * size < least * axis.cells) every *= String(every).startsWith("2") ? 2.5 : 2;
  for (let n = 0; n < axis.cells; n += every)
    yield { at: ((n + 0.5) * size) / axis.cells, text: String(axis.start(n)) };
}

/** Draw each map with its axes, the first difference and a place.
 * @param {Place} [place] that is pointed at */
function paint(place = state) {
  const style = getComputedStyle(document.documentElement);
  const color = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`);
  for (const { plane, canvas, value, image, width, height } of maps) {
    const { steps, units } = plane;
    value.textContent = plane.text(place);
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    pen.reset();
    pen.scale(devicePixelRatio, devicePixelRatio);
    pen.translate(MARGIN.left, MARGIN.top);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(image, 0, 0, width, height);
    [pen.font, pen.fillStyle, pen.textBaseline, pen.textAlign] = [FONT, color("dim"), "middle", "right"];
    for (const { at, text } of ticks(units, height, 14)) pen.fillText(text, -9, at);
    pen.textAlign = "center";
    for (const { at, text } of ticks(steps, width, 8 * (String(steps.last).length + 1)))
      pen.fillText(text, at, height + MARGIN.bottom / 2);
    const [wide, tall] = [width / steps.cells, height / units.cells];
    const middle = (/** @type {Place} */ { step, unit }) =>
      [(steps.cell(step) + 0.5) * wide, (units.cell(unit) + 0.5) * tall];
    if (first && hasFirst(plane)) {
      const [x, y] = middle(first);
      pen.fillStyle = color("differs");
      pen.fill(new Path2D(`M${x - 5} -10h10l-5 8zM-7 ${y - 4}v8l6 -4z`));
    }
    if (!steps.has(place.step) || !units.has(place.unit)) continue;
    const [[x, y], w, h] = [middle(place), Math.max(wide, 5), Math.max(tall, 5)];
    for (const [size, name] of /** @type {[number, string][]} */ ([[4, "ground"], [2, "ink"]])) {
      [pen.lineWidth, pen.strokeStyle] = [size, color(name)];
      pen.strokeRect(x - w / 2, y - h / 2, w, h);
    }
  }
  const [{ steps, units, name }] = sides();
  const values = sides().map((plane) => `${plane.view.label} ${plane.text(place)}`.trim());
  element("place").textContent =
    `${steps.words(place.step)}, ${units.words(place.unit)}: ${name} ${values.join(", ")}`;
}

/** @param {HeatMap} map @param {MouseEvent} event @returns {Place} that the pointer is at */
function placeAt({ plane: { steps, units }, canvas, width, height }, event) {
  const { left, top } = canvas.getBoundingClientRect();
  return {
    step: steps.start(Math.floor(((event.clientX - left - MARGIN.left) / width) * steps.cells)),
    unit: units.start(Math.floor(((event.clientY - top - MARGIN.top) / height) * units.cells)),
  };
}

/** @param {Partial<Place>} place @param {string} [array] */
function choose(place, array = state.focus) {
  Object.assign(state, place, { focus: array });
  update();
}

// ---- lines of a unit, units of a step, the command

/** @param {Plane} plane @param {number} cell @returns {number} where a cell of steps is on a chart */
const across = ({ steps }, cell) => (steps.cells > 1 ? cell / (steps.cells - 1) : 0.5) * CHART.width;

/** @param {Plane} plane @returns {string} a path; where steps share a pixel, their least and most */
function linePath(plane) {
  const [count, unit] = [plane.steps.cells, plane.units.cell(state.unit)];
  const stride = Math.ceil(count / (2 * CHART.width));
  let [path, pen] = ["", "M"];
  for (let start = 0; start < count; start += stride) {
    const length = Math.min(stride, count - start);
    const part = Array.from({ length }, (_, n) => plane.value(start + n, unit));
    for (const value of length > 1 ? [Math.min(...part), Math.max(...part)] : part) {
      const at = [across(plane, start), (1 - plane.level(value)) * CHART.height];
      if (!Number.isNaN(value)) path += pen + at.map((n) => n.toFixed(1)).join(" ");
      pen = Number.isNaN(value) ? "M" : "L";
    }
  }
  return path && `${path}h.1`; // a step between two gaps is a dot
}

/** @param {Plane[]} group an array on one scale @returns {HTMLElement} */
function chart(group) {
  const [[plane], { width, height }] = [group, CHART];
  const { low, high } = plane.scale;
  const label = `${plane.name}[${state.unit}]`;
  const named = { role: "img", "aria-label": `${label} over the steps, from ${low} to ${high}` };
  const drawn = make("svg", { viewBox: `-52 -6 ${width + 64} ${height + 26}`, ...named });
  for (const value of low < 0 ? [high, 0, low] : [high, low]) {
    const y = (1 - plane.level(value)) * height;
    const text = make("text", { x: -6, y: y + 4, "text-anchor": "end" }, String(value));
    drawn.append(make("path", { class: "axis", d: `M0 ${y}h${width}` }), text);
  }
  const x = across(plane, plane.steps.cell(state.step));
  drawn.append(make("path", { class: "chosen", d: `M${x} 0v${height}` }));
  for (const cell of new Set([0, plane.steps.cells - 1])) {
    const at = { x: across(plane, cell), y: height + 18, "text-anchor": "middle" };
    drawn.append(make("text", at, String(plane.steps.start(cell))));
  }
  const keys = group.map((one, n) => {
    const style = `line line${n % 3}`;
    drawn.append(make("path", { class: style, d: linePath(one) }));
    const line = make("path", { class: style, d: "M0 4h27" });
    const key = make("svg", { class: "key", viewBox: "0 0 27 8", "aria-hidden": "true" }, line);
    return make("span", {}, `${one.view.label} `, ...(one.view.label ? [key] : []));
  });
  const words = make("span", {}, plane.of.words);
  return make("figure", {}, make("figcaption", {}, make("b", {}, label), words, ...keys), drawn);
}

function listUnits() {
  const listed = sides().filter(({ steps }) => steps.has(state.step));
  const differing = listed.filter(({ view }) => view.differs);
  const [by] = [...differing, ...listed];
  const [step, chosen] = [by.steps.cell(state.step), by.units.cell(state.unit)];
  const sorted = Array.from({ length: by.units.cells }, (_, cell) => {
    const size = Math.abs(by.value(step, cell));
    return { cell, unit: by.units.start(cell), size: Number.isNaN(size) ? Infinity : size };
  }).sort((a, b) => b.size - a.size);
  const count = state.listsAll ? sorted.length : Math.min(sorted.length, LISTED);
  const rows = sorted.slice(0, count).map(({ cell, unit }) => {
    const button = make("button", { type: "button", "aria-label": `unit ${unit}` }, String(unit));
    button.onclick = () => choose({ unit });
    const texts = listed.map((plane) => plane.text({ step: state.step, unit }));
    const cells = [button, ...texts].map((one) => make("td", {}, one));
    return make("tr", cell === chosen ? { class: "now" } : {}, ...cells);
  });
  const heads = ["unit", ...listed.map(({ view, of }) => view.label || of.name)];
  const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)));
  element("units").replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
  element("units-title").textContent = `Units of ${by.name} at ${by.steps.words(state.step)}`;
  const largest = differing.length ? `|${by.view.label}|` : "magnitude";
  element("order").textContent = `The largest ${largest} first: ${count} of ${sorted.length}.`;
  element("all").hidden = count === sorted.length;
}

/** @returns {string} the command that shows the same in a terminal */
function command() {
  const view = data.views.at(state.view); // the last one, a difference, if they are side by side
  if (!view?.selects) return view?.command ?? "";
  const { typed } = data.cells[state.cell];
  const only = state.array === ALL ? data.only : shown()[0].of.typed;
  const item = data.items.length > 1 && `--batch ${state.item}`;
  const array = only && (typed || data.cells.length === 1) && `--only ${only}`;
  return [view.command, item, typed && `--cell ${typed}`, array].filter(Boolean).join(" ");
}

// ---- controls

/** @param {string} id @param {unknown[][]} options value and text of each @param {unknown} value */
function fill(id, options, value) {
  const made = options.map(([one, text]) => make("option", { value: String(one) }, String(text)));
  element(id).replaceChildren(...made);
  element(id).value = String(value);
  element(id).parentElement.hidden = options.length < 2;
}

/** Show what depends on the chosen place. */
function update() {
  const [{ steps, units }] = sides();
  state.step = steps.number(steps.index(state.step));
  state.unit = units.number(units.index(state.unit));
  Object.assign(element("step"), { min: steps.first, max: steps.last, value: state.step });
  Object.assign(element("unit"), { min: units.first, max: units.last, value: state.unit });
  element("command").textContent = command();
  element("copied").textContent = "";
  paint();
  const drawn = shown().filter((plane) => plane.units.has(state.unit));
  const charts = Map.groupBy(drawn, ({ of }) => `${of.scale} ${of.name}`);
  element("lines").replaceChildren(...[...charts.values()].map(chart));
  element("lines-title").textContent = `Unit ${state.unit} over the steps`;
  listUnits();
}

/** Show the state where other arrays are to be drawn. */
function redraw() {
  const cells = [...new Set(planes.filter(isInView).map(({ of }) => of.cell))];
  if (!cells.includes(state.cell)) [state.cell] = cells;
  const there = planes.filter((plane) => isInView(plane) && plane.of.cell === state.cell);
  const arrays = new Map(there.map(({ of }) => [of.name, `${of.name} ${of.words}`]));
  if (!arrays.has(state.array)) state.array = ALL;
  if (!shown().some(({ of }) => of.name === state.focus)) state.focus = shown()[0].of.name;
  const views = data.views.map((view, n) => [n, view.label]);
  fill("view", views.length > 1 ? [...views, [SIDE_BY_SIDE, "side by side"]] : views, state.view);
  fill("item", data.items.map((item) => [item, item]), state.item);
  fill("cell", cells.map((cell) => [cell, data.cells[cell].label]), state.cell);
  fill("array", [[ALL, ALL], ...arrays], state.array);
  drawMaps();
  update();
}

/** @param {object} changed */
function set(changed) {
  Object.assign(state, changed);
  redraw();
}

for (const id of ["view", "item", "cell", "array", "step", "unit"])
  element(id).onchange = (/** @type {any} */ { target: { value } }) =>
    set({ [id]: id === "array" ? value : Number(value) });
element("copy").onclick = async () => {
  getSelection()?.selectAllChildren(element("command"));
  await navigator.clipboard.writeText(command()).catch(() => document.execCommand("copy"));
  element("copied").textContent = "Copied.";
};
element("all").onclick = () => set({ listsAll: true });
element("first").hidden = first === null;
element("first").append(`First difference: ${state.focus}, step ${state.step}, unit ${state.unit}`);
element("first").onclick = () => {
  set({ ...first, array: state.array === ALL ? ALL : first?.focus });
  maps.find(({ plane }) => hasFirst(plane))?.canvas.focus();
};
matchMedia("(prefers-color-scheme: dark)").onchange = () => paint();
window.onresize = sizeMaps;
element("interactive").hidden = false;
redraw();
