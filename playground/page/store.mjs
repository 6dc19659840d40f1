// The store: its members, what it really holds, and the leases that run out in it.

import { attribute, button, count, el, figure, keyed, short, show, span, text } from './dom.mjs';
import { rest } from './cards.mjs';
import { fillRing, ring } from './rings.mjs';

const KINDS = { instance: 'instance', config: 'configuration', other: 'not a record' };

/** More rings than this say nothing more. */
const MOST_LEASES = 8;

/** The empty card of a store. */
export function makeStore() {
  const card = el('div', { class: 'store', role: 'group', 'aria-label': 'The store', 'data-place': 'store' });
  const parts = {
    revision: el('span', { class: 'revision' }),
    notes: el('span', { class: 'notes' }),
    members: el('div', { class: 'members', role: 'group', 'aria-label': 'Members of the store' }),
    keys: el('span', { class: 'quiet' }),
    rows: el('ul', { class: 'rows' }),
    empty: el('p', { class: 'empty' }, 'nothing is written yet'),
    leases: el('ul', { class: 'leases' }),
    leased: el('span', { class: 'quiet' }),
    none: el('p', { class: 'empty' }, 'no lease is running'),
  };
  card.append(
    parts.members,
    el('header', {}, el('h2', {}, button({ class: 'name', 'data-what': 'store', 'data-testid': 'store' }, 'Store')), parts.revision, parts.notes),
    el('div', { class: 'body' },
      el('h3', {}, 'holds', parts.keys), parts.rows, parts.empty,
      el('h3', { 'data-place': 'leases' }, 'leases', parts.leased), parts.leases, parts.none),
  );
  card.parts = parts;
  return card;
}

/** Fills the store's card from a view; `leases` by id. */
export function fillStore(card, view, leases) {
  const { parts } = card;
  const { store } = view;
  text(parts.revision, `@${store.revision}`);
  const said = [];
  if (store.compacted !== null) said.push(`history below @${store.compacted} forgotten`);
  if (!store.works) said.push('does not work');
  text(parts.notes, said.join(' · '));
  attribute(card, 'data-works', store.works ? null : 'no');
  keyed(parts.members, view.members, (member) => member.n, makeMember, fillMember);
  text(parts.keys, count(store.keys, 'key'));
  keyed(parts.rows, store.rows, (row) => row.key, makeKey, (node, row) => fillKey(node, row, leases));
  rest(parts.rows, store.more, 'key');
  show(parts.empty, store.keys === 0);
  const all = view.leases.length + view.more_leases;
  text(parts.leased, all === 0 ? '' : figure(all));
  const shown = view.leases.slice(0, MOST_LEASES);
  keyed(parts.leases, shown, (lease) => lease.id, makeLease, fillLease);
  rest(parts.leases, all - shown.length, 'lease');
  show(parts.none, view.leases.length === 0);
}

function makeMember(member) {
  const node = button({ class: 'member', 'data-what': `member:${member.n}`, 'data-testid': `member-${member.n}` });
  node.parts = { name: el('b', {}, `m${member.n}`), note: el('span'), said: el('span', { class: 'sr' }) };
  node.append(node.parts.name, ' ', node.parts.note, ' ', node.parts.said);
  return node;
}

function fillMember(node, member) {
  const how = !member.up ? 'down' : member.cut_off ? 'cut off' : member.full ? 'full' : member.lags ? 'lags' : member.leads ? 'leads' : 'follows';
  attribute(node, 'data-member', how);
  attribute(node, 'data-leads', member.leads ? 'yes' : null);
  text(node.parts.note, how === 'lags' ? `lags @${member.revision}` : how);
  text(node.parts.said, `member of the store, at revision ${member.revision}`);
}

function makeKey(row) {
  const node = el('li', {});
  node.parts = { ring: ring(18), name: el('b'), words: el('span', { class: 'quiet' }), revision: el('span', { class: 'revision' }) };
  node.append(button({ class: 'row', 'data-what': `key:${row.key}`, 'data-testid': 'key' },
    node.parts.ring, node.parts.name, node.parts.words, node.parts.revision));
  return node;
}

function fillKey(node, row, leases) {
  attribute(node, 'data-kind', row.kind);
  fillRing(node.parts.ring, row.lease ? leases.get(row.lease) : undefined);
  text(node.parts.name, row.name);
  text(node.parts.words, row.words || KINDS[row.kind] || row.kind);
  text(node.parts.revision, `@${row.revision}`);
}

function makeLease(lease) {
  const node = el('li', {});
  node.parts = { ring: ring(38), left: el('b'), words: el('span', { class: 'quiet' }) };
  node.append(button({ class: 'lease', 'data-what': `lease:${lease.id}`, 'data-testid': 'lease' },
    node.parts.ring, el('span', { class: 'words' }, node.parts.left, node.parts.words)));
  return node;
}

function fillLease(node, lease) {
  fillRing(node.parts.ring, lease);
  text(node.parts.left, lease.left_ms === null ? 'stands still' : `${span(lease.left_ms)} left`);
  const owner = lease.owner === null ? short(lease.id) : `p${lease.owner}`;
  text(node.parts.words, `${owner} · ${count(lease.keys, 'key')}`);
  attribute(node.firstChild, 'title', `lease ${lease.id}, granted for ${span(lease.ttl_ms)}`);
}
