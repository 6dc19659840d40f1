// The menu at a thing: what one can do to it, right where it is. It asks the same as the inspector.

import { button, el } from './dom.mjs';

export class Menu {
  constructor(app) {
    this.app = app;
    this.root = el('div', { class: 'menu', role: 'menu', 'data-testid': 'menu', hidden: true });
    document.querySelector('main').append(this.root);
    this.root.addEventListener('keydown', (event) => this.key(event));
    document.addEventListener('pointerdown', (event) => {
      if (!this.root.hidden && !this.root.contains(event.target)) this.close();
    }, true);
  }

  /** Opens for a thing, at a point or at a node; the focus goes into it. */
  open(what, { on, point }) {
    let found;
    try {
      found = this.app.engine.inspect(what, this.app.side);
    } catch {
      return;
    }
    this.from = document.activeElement;
    const item = (words, run, extra = {}) => button({ role: 'menuitem', tabindex: '-1', 'data-testid': 'menu-item', ...extra, onclick: () => { this.close(); run(); } }, words);
    this.root.replaceChildren(
      el('p', { class: 'menu-title' }, found.title),
      ...found.can.map((can) => item(can.label, () => this.app.act(can.action, can.label))),
      item('Look at it closely', () => this.app.showPane('inspect', true), { class: 'quiet' }),
    );
    this.root.setAttribute('aria-label', found.title);
    this.root.hidden = false;
    const at = point ?? anchor(on);
    const { offsetWidth: wide, offsetHeight: high } = this.root;
    this.root.style.left = `${Math.max(8, Math.min(innerWidth - wide - 8, at.x + 6))}px`;
    this.root.style.top = `${Math.max(8, Math.min(innerHeight - high - 8, at.y + 6))}px`;
    this.items()[0]?.focus();
  }

  items() {
    return [...this.root.querySelectorAll('[role=menuitem]')];
  }

  key(event) {
    const items = this.items();
    const at = items.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (to !== undefined) items[(to + items.length) % items.length].focus();
    else if (event.key === 'Escape' || event.key === 'Tab') this.close();
    else if (event.key !== 'Enter' && event.key !== ' ') return;
    if (event.key !== 'Enter' && event.key !== ' ') event.preventDefault();
    event.stopPropagation();
  }

  close() {
    if (this.root.hidden) return;
    const inside = this.root.contains(document.activeElement);
    this.root.hidden = true;
    if (inside && this.from?.isConnected) this.from.focus();
  }
}

function anchor(node) {
  const box = node.getBoundingClientRect();
  return { x: box.left, y: box.bottom };
}
