// Small helpers over the DOM. Whatever is shown may come from a stranger's file, so nothing here
// takes markup: text becomes text nodes, and each write is left out where nothing changes, since a
// frame has to be cheap.

/** An element: `el('button', {class: 'x', onclick: f, 'aria-label': '..'}, 'text', child)`. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.filter((child) => child !== undefined && child !== null));
  return node;
}

/** A button that does not submit anything. */
export function button(attributes, ...children) {
  return el('button', { type: 'button', ...attributes }, ...children);
}

const SVG = 'http://www.w3.org/2000/svg';

/** An element of an SVG. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Sets the text of a node, if it is another. */
export function text(node, value) {
  const shown = String(value);
  if (node.shownText === shown) return;
  node.shownText = shown;
  node.textContent = shown;
}

/** Sets an attribute, or takes it away for `null`, if it is another. */
export function attribute(node, name, value) {
  const shown = value === null || value === undefined ? null : String(value);
  if (node.getAttribute(name) === shown) return;
  if (shown === null) node.removeAttribute(name);
  else node.setAttribute(name, shown);
}

/** Shows or hides. */
export function show(node, shown) {
  if (node.hidden === shown) node.hidden = !shown;
}

/**
 * Makes the children of `parent` stand for `items`: one each, found again by its key, made and
 * moved only where needed. `make(item)` answers a node, `update(node, item)` fills it.
 */
export function keyed(parent, items, key, make, update) {
  const old = parent.keyedNodes ?? new Map();
  const now = new Map();
  let before = null;
  for (const item of items) {
    const name = key(item);
    if (now.has(name)) continue;
    const node = old.get(name) ?? make(item);
    old.delete(name);
    now.set(name, node);
    update(node, item);
    const place = before ? before.nextSibling : parent.firstChild;
    if (place !== node) parent.insertBefore(node, place);
    before = node;
  }
  for (const node of old.values()) node.remove();
  parent.keyedNodes = now;
  return now;
}

const NUMBER = new Intl.NumberFormat('en');

/** A number that a glance takes in: `1,000`. */
export function figure(n) {
  return n < 1000 ? String(n) : NUMBER.format(n);
}

/** `1 key`, `2 keys`. */
export function count(n, one, many = `${one}s`) {
  return `${figure(n)} ${n === 1 ? one : many}`;
}

/** A span of time in words that a glance takes in: `340 ms`, `2.1 s`, `3 min`. */
export function span(ms) {
  if (ms < 1) return '<1 ms';
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${(ms / 60_000).toFixed(1)} min`;
}

/** A moment as the trace writes it: `12.345s`. */
export function moment(ms) {
  return `${(Math.floor(ms) / 1000).toFixed(3)}s`;
}

/** A lease's number, short enough to read. */
export function short(hex) {
  return hex.length > 6 ? `${hex.slice(0, 6)}…` : hex;
}

/** `document.getElementById`, which must be there. */
export function byId(id) {
  const node = document.getElementById(id);
  if (!node) throw new Error(`index.html has no #${id}`);
  return node;
}

/** Whether somebody asked for less motion. */
export const calm = window.matchMedia('(prefers-reduced-motion: reduce)');
