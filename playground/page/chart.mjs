// The water between the processes and the store: links as lines on one canvas, which is drawn when
// a link changes, and what travels on them on another one above, which is drawn with each frame.
// Each thing that is drawn here is a button or a list's row elsewhere too.

import { calm } from './dom.mjs';
import { health, trouble } from './cards.mjs';
import { drawMessage, drawVanished, pill } from './glyphs.mjs';

/** How near a click must be, in pixels. */
const NEAR_LINK = 9;
const NEAR_MESSAGE = 14;
/** With more in flight than this, shapes stand without words. */
const MOST_WORDS = 14;
/** With more links than this, only those are drawn that carry something or are in trouble. */
const MOST_LINKS = 600;
const STEPS = 20;
/** How far what travels reaches over the shores: half a word and a bit. */
const SHORE = 64;
/** Where on a link its trouble is shown: nearer to the process, where lines lie apart. */
const TROUBLE_AT = 0.36;

export class Chart {
  constructor(under, over) {
    this.under = under;
    this.over = over;
    this.lines = new Map();
    this.drawn = '';
    this.shown = [];
    this.hover = null;
    this.selected = null;
    this.pointed = null;
  }

  /**
   * Where everything is: the whole size, a line from each process' port to each member, and the water
   * between the shores, the only place where anything travels.
   */
  place(width, height, lines, water) {
    this.scale = window.devicePixelRatio || 1;
    this.lines = lines;
    this.rose = [(water.left + water.right) / 2, (water.top + water.bottom) / 2];
    this.width = width;
    const left = Math.max(0, Math.floor(water.left - SHORE));
    const top = Math.max(0, Math.floor(water.top - SHORE));
    this.sea = { left, top, width: Math.min(width, Math.ceil(water.right + SHORE)) - left, height: Math.min(height, Math.ceil(water.bottom + SHORE)) - top };
    this.size(this.under, { left: 0, top: 0, width, height });
    this.size(this.over, this.sea);
    this.colours();
  }

  size(canvas, { left, top, width, height }) {
    const [wide, high] = [Math.round(width * this.scale), Math.round(height * this.scale)];
    if (canvas.width !== wide) canvas.width = wide;
    if (canvas.height !== high) canvas.height = high;
    const box = { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` };
    for (const [name, value] of Object.entries(box)) if (canvas.style[name] !== value) canvas.style[name] = value;
  }

  /** Reads the colours from the style sheet, which knows of light and dark. */
  colours() {
    const style = getComputedStyle(this.under);
    const named = (name) => style.getPropertyValue(`--${name}`).trim();
    this.ink = Object.fromEntries(['ink', 'quiet', 'line', 'sea', 'surface', 'accent', 'well', 'unsure', 'broken', 'lease', 'data', 'differs']
      .map((name) => [name, named(name)]));
    this.font = `12px ${style.fontFamily}`;
    this.drawn = '';
  }

  draw(view) {
    this.drawLinks(view);
    this.drawMessages(view);
  }

  drawLinks(view) {
    const all = view.links.length <= MOST_LINKS;
    const key = `${this.hover} ${this.selected} ${this.pointed} ` + view.links.map((link) => `${health(link)[1]}${link.extra_ms}${link.losing}${link.cut}${link.connected}`).join();
    if (key === this.drawn) return;
    this.drawn = key;
    const cx = begin(this.under, this.scale);
    this.drawRose(cx);
    cx.lineCap = 'round';
    for (const link of view.links) {
      const line = this.lines.get(`${link.process}:${link.member}`);
      if (!line) continue;
      const how = health(link);
      if (!all && how === 'idle') continue;
      this.drawLink(cx, link, line, how);
    }
    // Words after lines, so that no line runs through them.
    for (const link of view.links) {
      const line = this.lines.get(`${link.process}:${link.member}`);
      const words = trouble(link);
      if (line && words && !line.crowded) {
        const [x, y] = at(line, TROUBLE_AT);
        pill(cx, x, y, words, { ...this.ink, font: this.font, edge: link.cut !== 'none' || link.dead ? this.ink.broken : this.ink.unsure });
      }
    }
  }

  /** The sixteen winds of an old chart, so faint that nobody takes them for links. */
  drawRose(cx) {
    const [x, y] = this.rose;
    cx.strokeStyle = this.ink.line;
    cx.lineWidth = 0.5;
    cx.globalAlpha = 0.7;
    cx.beginPath();
    for (let wind = 0; wind < 16; wind++) {
      const angle = (wind * Math.PI) / 8;
      cx.moveTo(x, y);
      cx.lineTo(x + Math.cos(angle) * this.width, y + Math.sin(angle) * this.width);
    }
    cx.stroke();
    cx.globalAlpha = 1;
  }

  drawLink(cx, link, line, how) {
    const what = `link:${link.process}:${link.member}`;
    const chosen = what === this.hover || what === this.selected || what === this.pointed || this.pointed === 'links';
    const colour = { cut: 'broken', dead: 'broken', losing: 'unsure', slow: 'unsure', connected: 'quiet', idle: 'line' }[how];
    if (chosen) {
      cx.strokeStyle = this.ink.accent;
      cx.globalAlpha = 0.3;
      cx.lineWidth = 9;
      cx.setLineDash([]);
      trace(cx, line, 0, 1);
    }
    cx.globalAlpha = line.crowded ? (how === 'connected' ? 0.35 : how === 'idle' ? 0.25 : 0.9) : 1;
    cx.strokeStyle = this.ink[colour];
    cx.lineWidth = how === 'idle' ? 1 : 1.75;
    cx.setLineDash({ idle: [1, 6], losing: [9, 5], dead: [3, 5], slow: [14, 4] }[how] ?? []);
    if (how === 'cut') {
      // The two ends hang apart, each with a bar.
      const gap = line.crowded ? 0.06 : 0.13;
      trace(cx, line, 0, TROUBLE_AT - gap);
      trace(cx, line, TROUBLE_AT + gap, 1);
      for (const t of [TROUBLE_AT - gap, TROUBLE_AT + gap]) bar(cx, line, t);
    } else {
      trace(cx, line, 0, 1);
    }
    cx.globalAlpha = 1;
    cx.setLineDash([]);
  }

  drawMessages(view) {
    const cx = begin(this.over, this.scale, this.sea.left, this.sea.top);
    this.shown = [];
    const inks = { ...this.ink, font: this.font };
    const words = view.messages.length - view.messages.filter((m) => m.held).length <= MOST_WORDS;
    const slots = new Map();
    const piles = new Map();
    for (const message of view.messages) {
      const link = `${message.process}:${message.member}`;
      const line = this.lines.get(link);
      if (!line) continue;
      if (message.held) {
        const pile = `${link} ${message.way}`;
        piles.set(pile, { line, first: piles.get(pile)?.first ?? message, n: (piles.get(pile)?.n ?? 0) + 1 });
        continue;
      }
      const whole = message.arrives_ms - message.left_ms;
      let part = whole > 0 ? Math.min(1, Math.max(0, (view.now_ms - message.left_ms) / whole)) : 1;
      if (calm.matches) part = 0.5;
      // Neighbours on one link step aside, so that each can be read.
      const slot = `${link} ${message.way} ${Math.round(part * 6)}`;
      const aside = slots.get(slot) ?? 0;
      slots.set(slot, aside + 1);
      const t = 0.04 + 0.92 * (message.way === 'up' ? part : 1 - part);
      const [x, y] = beside(line, t, (message.way === 'up' ? -1 : 1) * (words ? 12 + aside * 21 : 4));
      drawMessage(cx, x, y, message, this.heading(line, t, message.way), words, inks, this.selected === `message:${message.id}`);
      this.shown.push({ x, y, what: `message:${message.id}` });
    }
    for (const { line, first, n } of piles.values()) {
      const t = first.way === 'up' ? 0.14 : 0.6;
      const [x, y] = beside(line, t, first.way === 'up' ? -13 : 13);
      pill(cx, x, y, line.crowded ? `${n}` : `${n} ${n === 1 ? 'waits' : 'wait'}`, { ...inks, edge: this.ink.unsure });
      this.shown.push({ x, y, what: `message:${first.id}` });
    }
    for (const gone of view.vanished) this.drawGone(cx, gone, view.now_ms, inks);
  }

  drawGone(cx, gone, now, inks) {
    const line = this.lines.get(`${gone.process}:${gone.member}`);
    if (!line) return;
    const [x, y] = beside(line, TROUBLE_AT, gone.way === 'up' ? 24 : -24);
    drawVanished(cx, x, y, Math.max(0, 1 - (now - gone.at_ms) / 600), line.crowded ? '' : 'lost', inks);
  }

  heading(line, t, way) {
    const [x0, y0] = at(line, Math.max(0, t - 0.02));
    const [x1, y1] = at(line, Math.min(1, t + 0.02));
    return Math.atan2(y1 - y0, x1 - x0) + (way === 'up' ? 0 : Math.PI);
  }

  /** What is at a point: a message, a link, or nothing. */
  hit(x, y) {
    let best = null;
    let nearest = NEAR_MESSAGE;
    for (const shown of this.shown) {
      const far = Math.hypot(shown.x - x, shown.y - y);
      if (far < nearest) [best, nearest] = [shown.what, far];
    }
    if (best) return best;
    nearest = NEAR_LINK;
    for (const [key, line] of this.lines) {
      for (let i = 1; i < line.points.length; i++) {
        const far = distance(x, y, line.points[i - 1], line.points[i]);
        if (far < nearest) [best, nearest] = [`link:${key}`, far];
      }
    }
    return best;
  }
}

/** A line from a port to a member, bent so that it leaves and lands straight. */
export function makeLine(x0, y0, x1, y1, upright, crowded) {
  const bend = 0.45;
  const [cx0, cy0, cx1, cy1] = upright
    ? [x0, y0 + (y1 - y0) * bend, x1, y1 - (y1 - y0) * bend]
    : [x0 + (x1 - x0) * bend, y0, x1 - (x1 - x0) * bend, y1];
  const line = { curve: [x0, y0, cx0, cy0, cx1, cy1, x1, y1], crowded, points: [] };
  for (let i = 0; i <= STEPS; i++) line.points.push(at(line, i / STEPS));
  return line;
}

function at({ curve: [x0, y0, x1, y1, x2, y2, x3, y3] }, t) {
  const u = 1 - t;
  const [a, b, c, d] = [u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t];
  return [a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3];
}

/** A point beside the line, at a right angle to it. */
function beside(line, t, by) {
  const [x, y] = at(line, t);
  const [x0, y0] = at(line, Math.max(0, t - 0.02));
  const [x1, y1] = at(line, Math.min(1, t + 0.02));
  const long = Math.hypot(x1 - x0, y1 - y0) || 1;
  return [x - ((y1 - y0) / long) * by, y + ((x1 - x0) / long) * by];
}

function trace(cx, line, from, to) {
  cx.beginPath();
  const steps = Math.max(2, Math.round(STEPS * (to - from)));
  for (let i = 0; i <= steps; i++) cx.lineTo(...at(line, from + ((to - from) * i) / steps));
  cx.stroke();
}

function bar(cx, line, t) {
  cx.beginPath();
  cx.moveTo(...beside(line, t, -7));
  cx.lineTo(...beside(line, t, 7));
  cx.stroke();
}

function begin(canvas, scale, left = 0, top = 0) {
  const cx = canvas.getContext('2d');
  cx.setTransform(1, 0, 0, 1, 0, 0);
  cx.clearRect(0, 0, canvas.width, canvas.height);
  cx.setTransform(scale, 0, 0, scale, -left * scale, -top * scale);
  return cx;
}

function distance(x, y, [x0, y0], [x1, y1]) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const t = Math.max(0, Math.min(1, ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(x - x0 - t * dx, y - y0 - t * dy);
}
