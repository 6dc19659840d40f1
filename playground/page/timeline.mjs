// The time line: a slider over all of a run, with a mark for whatever mattered. Drag it anywhere,
// back too.

import { attribute, byId, moment, show, text } from './dom.mjs';

/** Of each kind of mark: the colour's name, and the shape. */
export const MARKS = {
  fault: ['broken', 'down', 'a fault begins'],
  heal: ['well', 'up', 'a fault ends'],
  lease: ['lease', 'hollow', 'a lease ends'],
  lost: ['lease', 'hollow', 'a lease is lost'],
  regained: ['lease', 'full', 'a lease is held again'],
  compacted: ['quiet', 'bars', 'history is forgotten'],
  violation: ['broken', 'bang', 'a check does not hold'],
  action: ['accent', 'square', 'you did something'],
  store: ['data', 'square', 'something happens to the store'],
};

const SIDE = 14;
const NEAR = 7;
/** How far down the rail lies. */
const RAIL = 29;

export class Timeline {
  /** `app.seek(ms)` is asked for a moment. */
  constructor(app) {
    this.app = app;
    this.track = byId('track');
    this.canvas = byId('track-canvas');
    this.tip = byId('track-tip');
    this.marks = [];
    this.span = 1000;
    /** As far as the guide knows of. */
    this.expected = 0;
    this.now = 0;
    this.reached = 0;
    this.heals = 0;
    /** Counts what else is to be drawn: marks, and colours. */
    this.shown = 0;
    this.drawn = '';
    this.listen();
    this.back = document.createElement('canvas');
    this.measure();
    new ResizeObserver(() => { this.measure(); app.wake(); }).observe(this.track);
  }

  /** Asked for once: to ask with each frame would lay the page out each time. */
  measure() {
    this.width = this.track.clientWidth;
    this.height = this.track.clientHeight;
    this.drawn = '';
  }

  listen() {
    const { track } = this;
    let dragging = false;
    const seek = (event) => {
      const mark = this.nearest(event);
      this.app.seek(mark ? mark.at_ms : this.time(event));
    };
    track.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return;
      dragging = true;
      track.setPointerCapture(event.pointerId);
      seek(event);
    });
    track.addEventListener('pointermove', (event) => {
      if (dragging) this.app.seek(this.time(event));
      this.hint(event);
    });
    for (const over of ['pointerup', 'pointercancel']) track.addEventListener(over, () => { dragging = false; });
    track.addEventListener('pointerleave', () => show(this.tip, false));
  }

  hint(event) {
    const mark = this.nearest(event);
    const at = mark ? mark.at_ms : this.time(event);
    text(this.tip, mark ? `${moment(mark.at_ms)} ${mark.words}` : moment(at));
    show(this.tip, true);
    const half = this.tip.offsetWidth / 2;
    this.tip.style.left = `${Math.max(half, Math.min(this.width - half, this.x(at)))}px`;
  }

  nearest(event) {
    const x = event.clientX - this.track.getBoundingClientRect().left;
    let best = null;
    let nearest = NEAR;
    for (const mark of this.marks) {
      const far = Math.abs(this.x(mark.at_ms) - x);
      if (far < nearest) [best, nearest] = [mark, far];
    }
    return best;
  }

  time(event) {
    const box = this.track.getBoundingClientRect();
    const part = (event.clientX - box.left - SIDE) / (box.width - 2 * SIDE);
    return Math.round(Math.max(0, Math.min(1, part)) * this.span);
  }

  x(ms) {
    return SIDE + (ms / this.span) * (this.width - 2 * SIDE);
  }

  setMarks(marks) {
    this.marks = marks;
    this.shown++;
  }

  /** The next mark after now, or the one before. */
  neighbour(way) {
    const there = this.marks.filter((mark) => (way > 0 ? mark.at_ms > this.now + 0.5 : mark.at_ms < this.now - 0.5));
    return way > 0 ? there.reduce((a, b) => (a && a.at_ms <= b.at_ms ? a : b), null) : there.reduce((a, b) => (a && a.at_ms >= b.at_ms ? a : b), null);
  }

  render(view, reached) {
    // The end moves out in strides, so that the cursor does not stand still at the right edge.
    const plan = Math.max(view.heals_ms, this.expected, 1000);
    const needs = Math.max(plan, reached, view.now_ms);
    if (needs > this.span || this.plan !== plan) {
      this.plan = plan;
      this.span = needs > plan ? needs * 1.15 : needs;
    }
    this.now = view.now_ms;
    this.reached = reached;
    this.heals = view.heals_ms;
    attribute(this.track, 'aria-valuemax', Math.round(this.span));
    attribute(this.track, 'aria-valuenow', Math.round(view.now_ms));
    attribute(this.track, 'aria-valuetext', view.at);
    this.draw();
  }

  draw() {
    const { width, height } = this;
    const scale = window.devicePixelRatio || 1;
    if (!this.ink) this.colours();
    const key = `${width} ${height} ${scale} ${this.span} ${this.now} ${this.reached} ${this.shown}`;
    if (key === this.drawn) return;
    this.drawn = key;
    const back = `${width} ${height} ${scale} ${this.span} ${this.shown}`;
    if (back !== this.backDrawn) {
      this.backDrawn = back;
      for (const canvas of [this.canvas, this.back]) {
        canvas.width = Math.round(width * scale);
        canvas.height = Math.round(height * scale);
      }
      this.drawBack(scale);
    }
    const cx = this.canvas.getContext('2d');
    cx.setTransform(1, 0, 0, 1, 0, 0);
    cx.clearRect(0, 0, this.canvas.width, this.canvas.height);
    cx.drawImage(this.back, 0, 0);
    cx.setTransform(scale, 0, 0, scale, 0, 0);
    rail(cx, SIDE, this.x(this.reached), this.ink.faded);
    rail(cx, SIDE, this.x(this.now), this.ink.accent);
    const x = this.x(this.now);
    cx.fillRect(x - 1, 2, 2, 27);
    cx.beginPath();
    cx.arc(x, RAIL, 7, 0, Math.PI * 2);
    cx.fill();
    cx.lineWidth = 2;
    cx.strokeStyle = this.ink.surface;
    cx.stroke();
  }

  /** What stays while time passes: the rail, the ticks, the marks. */
  drawBack(scale) {
    const { width, height } = this;
    const cx = this.back.getContext('2d');
    cx.setTransform(scale, 0, 0, scale, 0, 0);
    cx.clearRect(0, 0, width, height);
    rail(cx, SIDE, width - SIDE, this.ink.line);
    if (this.heals > 0 && this.heals < this.span) {
      cx.fillStyle = this.ink.well;
      cx.fillRect(this.x(this.heals) - 0.75, RAIL - 7, 1.5, 14);
    }
    cx.fillStyle = this.ink.quiet;
    cx.font = this.font;
    cx.textBaseline = 'alphabetic';
    const tick = stride(this.span, width);
    for (let at = 0; at <= this.span; at += tick) {
      const words = tickWords(at);
      const wide = cx.measureText(words).width;
      cx.fillText(words, Math.min(width - wide - 2, Math.max(2, this.x(at) - wide / 2)), height - 3);
    }
    // Of marks of one kind that fall on one spot, one is enough.
    const taken = new Set();
    for (const mark of this.marks) {
      const spot = `${mark.kind} ${Math.round(this.x(mark.at_ms) / 3)}`;
      if (taken.has(spot)) continue;
      taken.add(spot);
      this.drawMark(cx, mark, 13);
    }
  }

  drawMark(cx, mark, y) {
    const [colour, shape] = MARKS[mark.kind] ?? MARKS.store;
    const x = this.x(mark.at_ms);
    cx.fillStyle = cx.strokeStyle = this.ink[colour];
    cx.lineWidth = 2;
    cx.beginPath();
    switch (shape) {
      case 'down': cx.moveTo(x - 5, y - 5); cx.lineTo(x + 5, y - 5); cx.lineTo(x, y + 5); cx.fill(); break;
      case 'up': cx.moveTo(x - 5, y + 5); cx.lineTo(x + 5, y + 5); cx.lineTo(x, y - 5); cx.fill(); break;
      case 'hollow': cx.arc(x, y, 4.5, 0.6, Math.PI * 1.7); cx.stroke(); break;
      case 'full': cx.arc(x, y, 4.5, 0, Math.PI * 2); cx.stroke(); break;
      case 'bars': cx.fillRect(x - 4, y - 5, 2.5, 10); cx.fillRect(x + 1, y - 5, 2.5, 10); break;
      case 'bang': cx.fillRect(x - 2, y - 8, 4, 9); cx.fillRect(x - 2, y + 3, 4, 4); break;
      default: cx.fillRect(x - 4, y - 4, 8, 8);
    }
  }

  /** Reads the colours from the style sheet, which knows of light and dark. */
  colours() {
    const style = getComputedStyle(this.track);
    this.ink = Object.fromEntries(['ink', 'quiet', 'line', 'faded', 'surface', 'accent', 'well', 'unsure', 'broken', 'lease', 'data'].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    this.font = `12px ${style.fontFamily}`;
    this.shown++;
  }
}

function rail(cx, from, to, colour) {
  cx.fillStyle = colour;
  cx.beginPath();
  cx.roundRect(from, RAIL - 2.5, Math.max(0, to - from), 5, 2.5);
  cx.fill();
}

function tickWords(ms) {
  if (ms < 60_000) return `${+(ms / 1000).toFixed(3)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')} min`;
}

/** A round distance between ticks. */
function stride(span, width) {
  const least = (span / width) * 90;
  if (least > 5000) return [10, 15, 30, 60, 120, 300, 600, 1800, 3600].map((secs) => secs * 1000).find((ms) => ms >= least) ?? least;
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= least) ?? least;
}
