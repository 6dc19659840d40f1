// What a message looks like. Colour says what it is about (data, leases, bad news), shape says what
// it does; with room, a word says it too.

/** Of each kind: the colour's name, and the shape. */
export const KINDS = {
  read: ['data', 'hollow', 'read'],
  write: ['data', 'square', 'write'],
  lease: ['lease', 'ring', 'lease'],
  renew: ['lease', 'loop', 'renew'],
  watch: ['data', 'eye', 'watch'],
  event: ['data', 'arrow', 'event'],
  answer: ['ink', 'dot', 'answer'],
  failed: ['broken', 'cross', 'failed'],
  cancel: ['quiet', 'cross', 'cancel'],
  other: ['quiet', 'dot', 'other'],
};

const R = 5;

/** Draws a message around a point; `heading` is the way that it goes, in radians. */
export function drawMessage(cx, x, y, message, heading, words, ink, chosen) {
  const [colour, shape, word] = KINDS[message.kind] ?? KINDS.other;
  // A duplicate is a second one, close behind.
  for (let copy = message.copies - 1; copy >= 0; copy--) {
    const [dx, dy] = [Math.cos(heading) * copy * -13, Math.sin(heading) * copy * -13];
    if (words) {
      labelled(cx, x + dx, y + dy * 1.6, word, shape, heading, ink[colour], ink, chosen);
    } else {
      glyph(cx, x + dx, y + dy, shape, heading, ink[colour], ink.surface);
      if (chosen) circle(cx, x + dx, y + dy, 10, ink.accent);
    }
  }
}

function labelled(cx, x, y, word, shape, heading, colour, ink, chosen) {
  cx.font = ink.font;
  const wide = measure(cx, word) + 26;
  box(cx, x - wide / 2, y - 10, wide, 20);
  cx.fillStyle = ink.surface;
  cx.fill();
  cx.lineWidth = chosen ? 3 : 1.25;
  cx.strokeStyle = chosen ? ink.accent : colour;
  cx.stroke();
  glyph(cx, x - wide / 2 + 11, y, shape, heading, colour, ink.surface);
  cx.fillStyle = ink.ink;
  cx.textBaseline = 'middle';
  cx.fillText(word, x - wide / 2 + 20, y + 0.5);
}

/** A word or two in a box around a point. */
export function pill(cx, x, y, words, ink) {
  cx.font = ink.font;
  const wide = measure(cx, words) + 14;
  box(cx, x - wide / 2, y - 10, wide, 20);
  cx.fillStyle = ink.surface;
  cx.fill();
  cx.lineWidth = 1.25;
  cx.strokeStyle = ink.edge;
  cx.stroke();
  cx.fillStyle = ink.edge;
  cx.textBaseline = 'middle';
  cx.fillText(words, x - wide / 2 + 7, y + 0.5);
}

/** Something that was lost: a cross that fades, `left` from 1 to 0. */
export function drawVanished(cx, x, y, left, word, ink) {
  cx.globalAlpha = Math.min(1, 0.25 + left);
  const r = R + 1 + (1 - left) * 4;
  cx.strokeStyle = ink.broken;
  cx.lineWidth = 2.5;
  cross(cx, x, y, r);
  if (word) {
    cx.font = ink.font;
    cx.fillStyle = ink.broken;
    cx.textBaseline = 'middle';
    cx.fillText(word, x + r + 5, y);
  }
  cx.globalAlpha = 1;
}

function glyph(cx, x, y, shape, heading, colour, surface) {
  cx.fillStyle = colour;
  cx.strokeStyle = colour;
  cx.lineWidth = 2;
  switch (shape) {
    case 'square':
      cx.fillRect(x - R + 0.5, y - R + 0.5, 2 * R - 1, 2 * R - 1);
      break;
    case 'hollow':
      cx.strokeRect(x - R + 1.5, y - R + 1.5, 2 * R - 3, 2 * R - 3);
      break;
    case 'ring':
      circle(cx, x, y, R - 0.5, colour);
      break;
    case 'loop':
      cx.beginPath();
      cx.arc(x, y, R - 0.5, -0.4, Math.PI * 1.35);
      cx.stroke();
      cx.beginPath();
      cx.arc(x + R - 1, y - 2, 2, 0, Math.PI * 2);
      cx.fill();
      break;
    case 'eye':
      circle(cx, x, y, R - 0.5, colour);
      cx.beginPath();
      cx.arc(x, y, 2, 0, Math.PI * 2);
      cx.fill();
      break;
    case 'arrow':
      cx.save();
      cx.translate(x, y);
      cx.rotate(heading);
      cx.beginPath();
      cx.moveTo(R + 1, 0);
      cx.lineTo(-R + 1, -R);
      cx.lineTo(-R + 1, R);
      cx.fill();
      cx.restore();
      break;
    case 'cross':
      cross(cx, x, y, R - 1);
      break;
    default:
      cx.beginPath();
      cx.arc(x, y, R - 1, 0, Math.PI * 2);
      cx.fill();
      cx.lineWidth = 1;
      cx.strokeStyle = surface;
      cx.stroke();
  }
}

function cross(cx, x, y, r) {
  cx.beginPath();
  cx.moveTo(x - r, y - r);
  cx.lineTo(x + r, y + r);
  cx.moveTo(x + r, y - r);
  cx.lineTo(x - r, y + r);
  cx.stroke();
}

function circle(cx, x, y, r, colour) {
  cx.strokeStyle = colour;
  cx.beginPath();
  cx.arc(x, y, r, 0, Math.PI * 2);
  cx.stroke();
}

function box(cx, x, y, wide, high) {
  cx.beginPath();
  cx.roundRect(x, y, wide, high, high / 2);
}

const measured = new Map();

/** How wide a word is; measured once, since the same few come again with each frame. */
function measure(cx, word) {
  const key = `${cx.font} ${word}`;
  let wide = measured.get(key);
  if (wide === undefined) {
    if (measured.size > 500) measured.clear();
    wide = cx.measureText(word).width;
    measured.set(key, wide);
  }
  return wide;
}
