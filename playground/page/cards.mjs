// A process as a card: what it has registered, what each of its directories believes next to what
// the store holds, and what its application was told last. Large when there is room, a tile when
// there are many.

import { attribute, button, count, el, keyed, show, span, text } from './dom.mjs';
import { ring, fillRing } from './rings.mjs';

/** What each state of a registration looks like: its shape and colour in the style sheet. */
const STANDING = {
  registered: 'well',
  waiting: 'unsure',
  unconfirmed: 'unsure',
  lost: 'broken',
  denied: 'broken',
  gone: 'past',
};

const FRESHNESS = {
  unsynced: ['unsure', 'not listed yet'],
  live: ['well', 'live'],
  stale: ['unsure', 'stale'],
};

const LIFE = {
  running: ['well', 'running'],
  held: ['unsure', 'held'],
  crashed: ['broken', 'crashed'],
};

const DIFFERENCE = {
  missing: 'not known here',
  gone: 'gone from store',
  old: 'old version',
};

/** The empty card of a process. */
export function makeProcess(process) {
  const what = `process:${process.n}`;
  const card = el('article', { class: 'process', 'data-testid': `process-${process.n}`, 'data-card': what, 'aria-label': `Process ${process.n}` });
  const parts = {
    name: button({ class: 'name', 'data-what': what, 'data-testid': `inspect-process-${process.n}` }, `p${process.n}`),
    life: el('span', { class: 'state' }),
    notes: el('span', { class: 'notes' }),
    registrations: el('ul', { class: 'registrations', 'aria-label': 'Registrations' }),
    directories: el('div', { class: 'directories' }),
    told: el('p', { class: 'told' }),
    ports: el('div', { class: 'ports', role: 'group', 'aria-label': `Links of p${process.n}` }),
  };
  card.append(
    el('header', {}, parts.name, parts.life, parts.notes),
    el('div', { class: 'body' }, parts.registrations, parts.directories, parts.told),
    parts.ports,
  );
  card.parts = parts;
  return card;
}

/** Fills a card. `context` has the leases by id, what each was told, and the links by process. */
export function fillProcess(card, process, context) {
  const { parts } = card;
  const [standing, life] = LIFE[process.life] ?? ['unsure', process.life];
  attribute(card, 'data-life', process.life);
  state(parts.life, standing, life);
  text(parts.notes, notes(process));
  keyed(parts.registrations, process.registrations, (r) => r.id, (r) => makeRegistration(process, r),
    (node, r) => fillRegistration(node, r, context));
  rest(parts.registrations, process.more_registrations, 'registration');
  keyed(parts.directories, process.directories, (d) => d.id, (d) => makeDirectory(process, d),
    (node, d) => fillDirectory(node, d, process));
  const told = context.told.get(process.n);
  show(parts.told, Boolean(told));
  if (told) {
    attribute(parts.told, 'data-tone', told.tone);
    text(parts.told, `told: ${told.words}`);
  }
  keyed(parts.ports, context.links(process.n), (link) => link.member, makePort, fillPort);
}

function notes(process) {
  const said = [];
  if (process.client !== 'portolan') said.push(process.client);
  if (process.drift_permille) said.push(`clock ${process.drift_permille > 0 ? 'fast' : 'slow'} by ${Math.abs(process.drift_permille) / 10} %`);
  if (process.waiting) said.push(`waits for ${process.waiting}`);
  return said.join(' · ');
}

function state(node, standing, words) {
  attribute(node, 'data-standing', standing);
  text(node, words);
}

/** The line `and 12 more`, after a list. */
export function rest(list, n, one, many) {
  let more = list.nextElementSibling;
  if (!more?.classList.contains('more')) {
    if (!n) return;
    more = el('p', { class: 'more' });
    list.after(more);
  }
  show(more, n > 0);
  if (n > 0) text(more, `and ${count(n, `more ${one}`, many && `more ${many}`)}`);
}

function makeRegistration(process, registration) {
  const node = el('li', {});
  node.parts = { ring: ring(18), name: el('b'), state: el('span', { class: 'state' }) };
  node.append(button({ class: 'row', 'data-what': `registration:${process.n}:${registration.id}`, 'data-testid': 'registration' },
    node.parts.ring, node.parts.name, node.parts.state));
  return node;
}

function fillRegistration(node, registration, context) {
  const lease = registration.lease ? context.leases.get(registration.lease) : undefined;
  fillRing(node.parts.ring, lease);
  text(node.parts.name, registration.name);
  state(node.parts.state, STANDING[registration.state] ?? 'unsure', registration.state);
  attribute(node.firstChild, 'title', registration.words);
}

function makeDirectory(process, directory) {
  const node = el('div', { class: 'directory', role: 'group' });
  node.parts = {
    title: el('b'),
    fresh: el('span', { class: 'state' }),
    notes: el('span', { class: 'notes' }),
    rows: el('ul', { class: 'rows' }),
    empty: el('p', { class: 'empty' }),
  };
  node.append(
    button({ class: 'row head', 'data-what': `directory:${process.n}:${directory.id}`, 'data-testid': 'directory' },
      el('span', { class: 'verb' }, 'believes'), node.parts.title, node.parts.fresh, node.parts.notes),
    node.parts.rows, node.parts.empty,
  );
  return node;
}

function fillDirectory(node, directory, process) {
  const { parts } = node;
  const [standing, words] = FRESHNESS[directory.freshness] ?? ['unsure', directory.freshness];
  text(parts.title, directory.title);
  state(parts.fresh, standing, directory.freshness === 'stale' && directory.since_ms !== null
    ? `stale for ${span(directory.since_ms)}` : words);
  const said = [`@${directory.revision}`];
  if (directory.guarded) said.push('suspects an outage');
  if (directory.differs) said.push(`${directory.differs} differ`);
  text(parts.notes, said.join(' · '));
  attribute(node, 'data-differs', directory.differs ? 'yes' : null);
  keyed(parts.rows, directory.rows, (row) => row.key, makeRow, fillRow);
  rest(parts.rows, directory.more, 'instance');
  const empty = directory.believed === 0 && directory.rows.length === 0;
  show(parts.empty, empty);
  if (empty) text(parts.empty, directory.freshness === 'unsynced' ? 'knows nothing yet' : `nobody is in ${directory.title}`);
  attribute(node, 'aria-label', `What p${process.n} believes of ${directory.title}`);
}

function makeRow(row) {
  const node = el('li', {});
  node.parts = { name: el('b'), state: el('span', { class: 'quiet' }), note: el('span', { class: 'note' }), revision: el('span', { class: 'revision' }) };
  node.append(button({ class: 'row', 'data-what': `key:${row.key}`, 'data-testid': 'believed' },
    el('i', { class: 'mark', 'aria-hidden': 'true' }), node.parts.name, node.parts.state, node.parts.note, node.parts.revision));
  return node;
}

function fillRow(node, row) {
  const { parts } = node;
  attribute(node, 'data-difference', row.difference);
  attribute(node, 'data-testid', row.difference ? 'difference' : null);
  text(parts.name, row.name);
  text(parts.state, row.difference === 'missing' ? '' : row.state);
  text(parts.note, row.difference ? DIFFERENCE[row.difference] ?? row.difference : '');
  text(parts.revision, row.difference === 'missing' ? '' : `@${row.revision}`);
}

function makePort(link) {
  return button({ class: 'port', 'data-what': `link:${link.process}:${link.member}`, 'data-menu': 'yes', 'data-testid': `link-${link.process}-${link.member}`, 'aria-haspopup': 'menu' }, `m${link.member}`);
}

function fillPort(node, link) {
  attribute(node, 'data-link', health(link));
  attribute(node, 'aria-label', `m${link.member}: link of p${link.process}, ${linkWords(link)}`);
}

/** How a link is, in one word for the style sheet. */
export function health(link) {
  if (link.cut !== 'none') return 'cut';
  if (link.dead) return 'dead';
  if (link.losing) return 'losing';
  if (link.extra_ms) return 'slow';
  return link.connected ? 'connected' : 'idle';
}

/** What is the matter with a link, in words; empty where nothing is. */
export function trouble(link) {
  const said = [];
  if (link.cut === 'both') said.push('cut');
  if (link.cut === 'up') said.push('cut to the store');
  if (link.cut === 'down') said.push('cut from the store');
  if (link.dead) said.push('dead, nobody told');
  if (link.extra_ms) said.push(`+${link.extra_ms} ms`);
  if (link.losing) said.push(`loses the next ${link.losing}`);
  return said.join(', ');
}

export function linkWords(link) {
  return trouble(link) || (link.connected ? 'connected' : 'no connection open');
}

/** The tile of a process among many. */
export function makeTile(process) {
  const what = `process:${process.n}`;
  const node = button({ class: 'tile', 'data-what': what, 'data-card': what, 'data-testid': `process-${process.n}` });
  node.parts = { name: el('b', {}, `p${process.n}`), life: el('i', { class: 'mark' }), differs: el('span', { class: 'differs' }), dots: el('span', { class: 'dots' }), said: el('span', { class: 'sr' }) };
  node.append(node.parts.life, node.parts.name, el('span', { class: 'second' }, node.parts.dots, node.parts.differs), node.parts.said);
  return node;
}

export function fillTile(node, process, context) {
  const { parts } = node;
  const [standing, life] = LIFE[process.life] ?? ['unsure', process.life];
  let differs = 0;
  let stale = 0;
  for (const directory of process.directories) {
    differs += directory.differs;
    stale += directory.freshness === 'live' ? 0 : 1;
  }
  let unwell = 0;
  for (const registration of process.registrations) unwell += registration.state === 'registered' ? 0 : 1;
  const cut = context.links(process.n).some((link) => link.cut !== 'none');
  attribute(node, 'data-life', process.life);
  attribute(parts.life, 'data-standing', standing);
  text(parts.differs, differs ? `◆ ${differs}` : '');
  attribute(node, 'data-differs', differs ? 'yes' : null);
  attribute(node, 'data-stale', stale || unwell ? 'yes' : null);
  const said = [life, stale && 'a directory not live', unwell && 'a registration not standing', cut && 'a link cut', differs && `${differs} differ`].filter(Boolean);
  text(parts.said, said.join(', '));
  text(parts.dots, cut ? 'cut' : stale ? 'stale' : unwell ? 'waits' : '');
  attribute(parts.dots, 'data-standing', cut ? 'broken' : 'unsure');
}
