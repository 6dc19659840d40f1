// Everything that one can do, in one place: a list to search, and of each what it needs. Whatever
// stands on the stage offers its own part of this where it is.

import { button, byId, el, show, text } from './dom.mjs';
import { ACTIONS, FIELDS } from './catalogue.mjs';

export class Actions {
  constructor(app) {
    this.app = app;
    this.find = el('input', { type: 'search', placeholder: 'Find: cut, lease, clock …', 'aria-label': 'Find an action', 'data-testid': 'action-find', oninput: () => this.filter() });
    this.list = el('div', { class: 'action-list', role: 'group', 'aria-label': 'Actions' });
    this.name = el('h3', { 'data-testid': 'action-name' });
    this.about = el('p', { class: 'quiet' });
    this.fields = el('div', { class: 'fields' });
    this.done = el('p', { class: 'done', role: 'status', 'data-testid': 'action-done' });
    this.form = el('form', { class: 'action-form', onsubmit: (event) => this.submit(event) }, this.name, this.about, this.fields,
      el('div', { class: 'row-of' },
        el('button', { type: 'submit', class: 'primary', 'data-testid': 'do-action' }, 'Do it now'), this.done));
    this.dialog = el('dialog', { class: 'sheet actions-sheet', 'data-testid': 'action-dialog', 'aria-labelledby': 'actions-title' },
      el('div', { class: 'sheet-head' }, el('h2', { id: 'actions-title' }, 'Do something to this world'), this.find,
        button({ class: 'icon', 'aria-label': 'Close', 'data-testid': 'actions-close', onclick: () => this.dialog.close() }, '×')),
      el('div', { class: 'actions-body' }, this.list, this.form));
    this.dialog.addEventListener('click', (event) => { if (event.target === this.dialog) this.dialog.close(); });
    document.body.append(this.dialog);
    this.fill();
    byId('open-actions').addEventListener('click', () => this.open());
  }

  fill() {
    let group = null;
    for (const action of ACTIONS) {
      if (action.group !== group) {
        group = action.group;
        this.list.append(el('h3', {}, group));
      }
      action.button = button({ 'data-testid': `action-${action.id}`, onclick: () => this.choose(action) }, action.label);
      this.list.append(action.button);
    }
  }

  open() {
    if (!this.app.view) return;
    this.app.pause();
    this.choose(this.chosen ?? ACTIONS[0]);
    text(this.done, '');
    this.dialog.showModal();
    this.find.select();
  }

  filter() {
    const words = this.find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let heading = null;
    for (const node of this.list.children) {
      if (node.tagName === 'H3') {
        heading = node;
        show(heading, false);
        continue;
      }
      const action = ACTIONS.find((candidate) => candidate.button === node);
      const fits = words.every((word) => `${action.label} ${action.about} ${action.group}`.toLowerCase().includes(word));
      show(node, fits);
      if (fits) show(heading, true);
    }
  }

  choose(action) {
    this.chosen = action;
    for (const other of ACTIONS) other.button.setAttribute('aria-pressed', other === action ? 'true' : 'false');
    text(this.name, action.label);
    text(this.about, action.about);
    text(this.done, '');
    this.inputs = {};
    this.fields.replaceChildren(...(action.fields ?? []).map((name) => this.field(name)));
  }

  /** An input for a field, filled with what is most likely meant: what is chosen on the stage. */
  field(name) {
    const field = FIELDS[name];
    const options = field.options?.(this.app.view, this.app.selected);
    const input = options
      ? el('select', { 'data-testid': `field-${name}` }, ...options.map(([value, words]) => el('option', { value }, words)))
      : el('input', { type: field.type ?? 'text', 'data-testid': `field-${name}`, value: field.value ?? '', min: field.min, max: field.max, maxlength: '200', required: field.required });
    const likely = field.likely?.(this.app.view, this.app.selected);
    if (likely !== undefined && likely !== null) input.value = likely;
    if (options && input.selectedIndex < 0) input.selectedIndex = 0;
    this.inputs[name] = input;
    return el('label', {}, el('span', {}, field.label), input);
  }

  submit(event) {
    event.preventDefault();
    const values = {};
    for (const name of this.chosen.fields ?? []) {
      const { value } = this.inputs[name];
      if (value === '' && FIELDS[name].none) {
        this.done.dataset.tone = 'bad';
        text(this.done, FIELDS[name].none);
        return;
      }
      values[name] = FIELDS[name].read ? FIELDS[name].read(value) : value;
    }
    const done = this.app.act(this.chosen.build(values), this.chosen.label);
    this.done.dataset.tone = done.refused ? 'bad' : 'good';
    text(this.done, done.refused ?? `Done at ${done.at / 1000} s.`);
    // What there is to choose from may be other now.
    if (!done.refused) {
      const kept = Object.fromEntries(Object.entries(this.inputs).map(([name, input]) => [name, input.value]));
      const said = this.done.shownText;
      this.choose(this.chosen);
      for (const [name, value] of Object.entries(kept)) if (this.inputs[name].tagName === 'INPUT' || [...this.inputs[name].options].some((option) => option.value === value)) this.inputs[name].value = value;
      text(this.done, said);
    }
  }
}
