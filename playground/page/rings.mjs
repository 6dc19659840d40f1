// A lease as a ring that runs out and is refilled.

import { attribute, svg } from './dom.mjs';

const AROUND = 100;

/** An empty ring of this size in pixels. */
export function ring(size) {
  const width = size > 24 ? 4 : 3;
  const r = (size - width) / 2;
  const circle = (name) => svg('circle', { class: name, cx: size / 2, cy: size / 2, r, 'stroke-width': width, pathLength: AROUND });
  const left = circle('left');
  const node = svg('svg', { class: 'ring', width: size, height: size, viewBox: `0 0 ${size} ${size}`, 'aria-hidden': 'true' }, circle('whole'), left);
  node.left = left;
  return node;
}

/** Shows what is left of a lease; of none, an empty dashed circle. */
export function fillRing(node, lease) {
  const shown = !lease ? 'none' : lease.left_ms === null ? 'still' : lease.left_ms / lease.ttl_ms < 0.34 ? 'low' : 'held';
  attribute(node, 'data-ring', shown);
  const part = !lease ? 0 : lease.left_ms === null ? AROUND : Math.max(0, Math.min(1, lease.left_ms / lease.ttl_ms)) * AROUND;
  const dash = part.toFixed(1);
  if (node.shownDash === dash) return;
  node.shownDash = dash;
  node.left.setAttribute('stroke-dasharray', `${dash} ${AROUND + 1}`);
}
