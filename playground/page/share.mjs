// Taking a run elsewhere: a link that holds plan, actions and moment, a plan file out, a plan file
// in. What comes in is a stranger's: it is read by the simulator, which says what is wrong with it.

import { button, byId, el } from './dom.mjs';
import { copy, say } from './notices.mjs';

/** The largest plan file; `portolan sim replay` takes no larger one. */
const MOST_BYTES = 16 * 1024 * 1024;

export class Share {
  constructor(app) {
    this.app = app;
    this.link = el('textarea', { readonly: true, rows: '4', 'aria-label': 'Link to this moment', 'data-testid': 'share-link' });
    this.copied = el('span', { class: 'quiet', role: 'status' });
    this.dialog = el('dialog', { class: 'sheet', 'data-testid': 'share-dialog', 'aria-labelledby': 'share-title' },
      el('h2', { id: 'share-title' }, 'A link to this moment'),
      el('p', {}, 'It holds the plan, what you did, and the moment. Nothing is sent anywhere: all of it stands in the address itself.'),
      this.link,
      el('div', { class: 'row-of' }, button({ class: 'primary', 'data-testid': 'share-copy', onclick: () => copy(this.link.value, this.link, this.copied) }, 'Copy'),
        button({ 'data-testid': 'share-close', onclick: () => this.dialog.close() }, 'Close'), this.copied));
    document.body.append(this.dialog);
    byId('share').addEventListener('click', () => this.share());
    byId('export').addEventListener('click', () => this.export());
    const file = byId('import-file');
    byId('import').addEventListener('click', () => file.click());
    file.addEventListener('change', () => {
      this.read(file.files[0]);
      file.value = '';
    });
    this.listenToDrops();
    window.addEventListener('hashchange', () => this.fromAddress());
  }

  listenToDrops() {
    const zone = byId('drop');
    let depth = 0;
    const files = (event) => event.dataTransfer?.types.includes('Files');
    window.addEventListener('dragenter', (event) => { if (files(event)) zone.hidden = ++depth === 0; });
    window.addEventListener('dragleave', (event) => { if (files(event)) zone.hidden = --depth <= 0; });
    window.addEventListener('dragover', (event) => { if (files(event)) event.preventDefault(); });
    window.addEventListener('drop', (event) => {
      if (!files(event)) return;
      event.preventDefault();
      depth = 0;
      zone.hidden = true;
      this.read(event.dataTransfer.files[0]);
    });
  }

  share() {
    const fragment = this.app.attempt('share this moment', () => this.app.engine.share());
    if (fragment === undefined) return;
    this.mine = `#${encodeURIComponent(fragment)}`;
    const address = `${location.href.split('#')[0]}${this.mine}`;
    history.replaceState(null, '', this.mine);
    this.link.value = address;
    this.copied.textContent = '';
    this.dialog.showModal();
    this.link.select();
  }

  export() {
    const plan = this.app.attempt('export the plan', () => this.app.engine.export());
    if (plan === undefined) return;
    const address = URL.createObjectURL(new Blob([plan], { type: 'application/json' }));
    const anchor = el('a', { href: address, download: `${this.app.name ?? 'plan'}.json` });
    document.body.append(anchor);
    anchor.click();
    anchor.remove();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
    say(`Saved as a plan. Run it with: portolan sim replay ${this.app.name ?? 'plan'}.json`, 'good');
  }

  async read(file) {
    if (!file) return;
    if (file.size > MOST_BYTES) {
      say(`${file.name} is no plan: it has ${(file.size / 1_048_576).toFixed(1)} MiB, and a plan has at most 16.`, 'bad');
      return;
    }
    const plan = await file.text();
    this.app.load({ plan }, { title: file.name.slice(0, 80), about: 'A plan from a file of yours.' }, `${file.name.slice(0, 80)} cannot be run`);
  }

  /** Loads what the address holds. Answers whether it held something that can be read. */
  fromAddress() {
    const fragment = location.hash.slice(1);
    if (!fragment || location.hash === this.mine) return false;
    // A place in the page, as the links that skip to it have.
    if (document.getElementById(fragment)) return false;
    return this.app.load({ share: plain(fragment) }, { title: 'A shared moment', about: 'Somebody shared this moment with you. Play on, or go back and see how it came to it.' }, 'This link cannot be read');
  }
}

/** A fragment as it was before it went into an address; as it is, if it is none. */
function plain(fragment) {
  try {
    return decodeURIComponent(fragment);
  } catch {
    return fragment;
  }
}
