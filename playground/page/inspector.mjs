// The inspector: the whole state of one thing in words, a sentence on what it means, what belongs
// to it, and what one can do to it. Where nothing is chosen, the world: what travels just now, and
// which links are in trouble, as lists, for whoever cannot point at a drawing.

import { attribute, button, count, el, keyed, show, text } from './dom.mjs';
import { trouble } from './cards.mjs';
import { KINDS } from './glyphs.mjs';

const EVERY_MS = 120;
const MOST_LISTED = 60;

export class Inspector {
  constructor(root, app) {
    this.root = root;
    this.app = app;
    this.what = null;
    this.title = el('h2', { 'data-testid': 'inspect-title' });
    this.meaning = el('p', { class: 'meaning', 'data-testid': 'inspect-meaning' });
    this.facts = el('dl', { class: 'facts', 'data-testid': 'inspect-facts' });
    this.can = el('div', { class: 'can', role: 'group', 'aria-label': 'What one can do' });
    this.canTitle = el('h3', {}, 'What you can do');
    this.see = el('div', { class: 'see', role: 'group', 'aria-label': 'What belongs to it' });
    this.seeTitle = el('h3', {}, 'See also');
    this.back = button({ class: 'small', 'data-testid': 'inspect-world', onclick: () => app.choose(null, {}) }, '← The world');
    this.thing = el('div', {}, this.back, this.title, this.meaning, this.canTitle, this.can, el('h3', {}, 'How it is'), this.facts, this.seeTitle, this.see);
    this.world = this.makeWorld();
    root.append(this.thing, this.world);
    this.choose(null);
  }

  makeWorld() {
    this.travelling = el('ul', { class: 'plain', 'data-testid': 'messages' });
    this.travellingTitle = el('h3');
    this.troubled = el('ul', { class: 'plain' });
    this.troubledTitle = el('h3');
    this.summary = el('p', { class: 'meaning' });
    return el('div', {}, el('h2', {}, 'The world'),
      el('p', { class: 'quiet' }, 'Click anything on the stage to see it whole: a process, a message, a link, a lease, a key, a member.'),
      this.summary, this.travellingTitle, this.travelling, this.troubledTitle, this.troubled);
  }

  choose(what) {
    this.what = what;
    this.asked = null;
    show(this.thing, what !== null);
    show(this.world, what === null);
    this.root.scrollTop = 0;
  }

  render(view) {
    if (this.root.hidden) return;
    const now = performance.now();
    const key = `${this.what} ${view.now_ms} ${this.app.engine.acted}`;
    if (this.asked === key) return;
    if (this.asked !== null && this.app.player.playing && now - (this.last ?? 0) < EVERY_MS) return;
    this.asked = key;
    this.last = now;
    if (this.what === null) this.renderWorld(view);
    else this.renderThing();
  }

  renderThing() {
    let found;
    try {
      found = this.app.engine.inspect(this.what, this.app.side);
    } catch (error) {
      if (this.app.engine.panicked) throw error;
      // It was there when it was chosen: a message arrives, a lease ends.
      found = { title: this.shownTitle ?? this.what, meaning: `It is no more: ${error.message}.`, facts: [], see: [], can: [] };
    }
    this.shownTitle = found.title;
    text(this.title, found.title);
    text(this.meaning, found.meaning);
    keyed(this.facts, found.facts.map(([label, value], n) => ({ label, value, n })), (fact) => `${fact.n} ${fact.label}`,
      (fact) => {
        const node = el('div', {}, el('dt', {}, fact.label), el('dd'));
        return node;
      },
      (node, fact) => text(node.lastChild, fact.value));
    keyed(this.see, found.see, (see) => see.what,
      (see) => button({ class: 'link', 'data-testid': 'see', onclick: () => this.app.choose(see.what, {}) }), (node, see) => text(node, see.label));
    show(this.seeTitle, found.see.length > 0);
    keyed(this.can, found.can, (can) => `${can.label} ${JSON.stringify(can.action)}`,
      (can) => button({ 'data-testid': 'can', onclick: () => this.app.act(can.action, can.label) }, can.label), () => {});
    show(this.canTitle, found.can.length > 0);
  }

  renderWorld(view) {
    const { differs } = view;
    text(this.summary, `${count(view.processes.length, 'process', 'processes')}, ${count(view.members.length, 'member')} of the store, ${count(view.store.keys, 'key')} in it. `
      + (differs ? `${count(differs, 'entry', 'entries')} of directories ${differs === 1 ? 'differs' : 'differ'} from the store.` : 'Every directory agrees with the store.'));
    const travelling = view.messages.slice(0, MOST_LISTED);
    text(this.travellingTitle, view.messages.length ? `${count(view.messages.length + (view.more_messages ?? 0), 'message')} on the way` : 'Nothing travels just now');
    keyed(this.travelling, travelling, (m) => m.id,
      (m) => el('li', {}, button({ class: 'row', 'data-what': `message:${m.id}`, 'data-testid': 'message', onclick: () => this.app.choose(`message:${m.id}`, {}) })),
      (node, m) => text(node.firstChild, messageWords(m)));
    const troubled = view.links.filter((link) => trouble(link)).slice(0, MOST_LISTED);
    text(this.troubledTitle, troubled.length ? 'Links in trouble' : 'All links are well');
    keyed(this.troubled, troubled, (link) => `${link.process}:${link.member}`,
      (link) => el('li', {}, button({ class: 'row', 'data-testid': 'trouble', onclick: () => this.app.choose(`link:${link.process}:${link.member}`, {}) })),
      (node, link) => { text(node.firstChild, `p${link.process} – m${link.member}: ${trouble(link)}`); attribute(node, 'data-standing', 'broken'); });
  }
}

function messageWords(message) {
  const ends = message.way === 'up' ? `p${message.process} → m${message.member}` : `m${message.member} → p${message.process}`;
  const word = (KINDS[message.kind] ?? KINDS.other)[2];
  return `${ends}  ${word}: ${message.words}${message.held ? ' (waits at a cut)' : ''}${message.copies > 1 ? ' (twice)' : ''}`;
}
