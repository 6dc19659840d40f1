// Choosing what to look at: a named scenario, each with its sentence, or a plan drawn from a seed.

import { button, byId, el, show, text } from './dom.mjs';

const THEMES = [
  ['To begin with', /^(first-visit|sandbox|crash)$/],
  ['Processes that come and go', /^(restart|shutdown|held-|fast-clock|slow-clock|one-id|late-put|two-updates|slow-reader)/],
  ['Leases', /lease|^grant/],
  ['The network', /^(answers|connection|blackholed|compacted|healed|slow-link|lost-answer|delete-forgotten|progress)/],
  ['The store and its members', /^(another-cluster|lagging|leader|member|no-leader|no-room|store-|password|rights|token|thousands)/],
  ['Strangers', /^(stranger|garbage)/],
];

/** `lease-revoked` as words. */
export function title(name) {
  const words = name.replace(/^naive-/, '').replaceAll('-', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export class Scenarios {
  constructor(app) {
    this.app = app;
    const { engine } = app;
    this.find = el('input', { type: 'search', placeholder: 'Find: lease, cut, compact …', 'aria-label': 'Find a scenario', 'data-testid': 'scenario-find', oninput: () => this.filter() });
    this.none = el('p', { class: 'empty', hidden: true }, 'No scenario has such a word in it.');
    this.list = el('div', { class: 'scenario-list' }, ...groups(engine.scenarios).map(([name, scenarios]) => this.group(name, scenarios)), this.none);
    this.seed = el('input', { type: 'text', inputmode: 'numeric', pattern: '[0-9]*', value: '7', maxlength: '20', 'data-testid': 'seed', 'aria-label': 'Seed' });
    this.mix = el('select', { 'data-testid': 'mix', 'aria-label': 'Mix' }, ...engine.mixes.map(([mix, about]) => el('option', { value: mix }, `${mix}: ${about}`)));
    this.dialog = el('dialog', { class: 'sheet chooser-sheet', 'data-testid': 'scenario-dialog', 'aria-labelledby': 'scenario-title' },
      el('div', { class: 'sheet-head' }, el('h2', { id: 'scenario-title' }, 'What shall happen?'), this.find,
        button({ class: 'icon', 'aria-label': 'Close', 'data-testid': 'scenarios-close', onclick: () => this.dialog.close() }, '×')),
      this.list,
      el('form', { class: 'draw', method: 'dialog', onsubmit: (event) => this.draw(event) },
        el('p', {}, 'Or let chance decide: a seed draws processes, work and faults, always the same ones.'),
        el('label', {}, 'Seed ', this.seed),
        button({ class: 'small', 'data-testid': 'seed-any', onclick: () => { this.seed.value = String(crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000); } }, 'Any'),
        el('label', {}, 'Mix ', this.mix),
        el('button', { type: 'submit', class: 'primary', 'data-testid': 'draw' }, 'Draw a plan')));
    this.dialog.addEventListener('click', (event) => { if (event.target === this.dialog) this.dialog.close(); });
    document.body.append(this.dialog);
    byId('open-scenarios').addEventListener('click', () => this.open());
  }

  group(name, scenarios) {
    const { engine } = this.app;
    return el('section', {}, el('h3', {}, name), el('ul', {}, ...scenarios.map((scenario) => el('li', {},
      button({ class: 'scenario', 'data-testid': `scenario-${scenario.name}`, 'data-words': `${scenario.name} ${scenario.about}`.toLowerCase(), onclick: () => this.choose(scenario.name) },
        el('b', {}, title(scenario.name)), scenario.name.startsWith('naive-') ? el('i', {}, `${engine.fleets.find((fleet) => fleet.id === scenario.naive)?.name ?? scenario.naive} beside Portolan`) : null, el('span', {}, scenario.about))))));
  }

  open() {
    this.dialog.showModal();
    this.find.select();
  }

  filter() {
    const words = this.find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let any = false;
    for (const section of this.list.querySelectorAll('section')) {
      let some = false;
      for (const node of section.querySelectorAll('.scenario')) {
        const fits = words.every((word) => node.dataset.words.includes(word));
        show(node.parentNode, fits);
        some ||= fits;
      }
      show(section, some);
      any ||= some;
    }
    show(this.none, !any);
  }

  choose(name) {
    this.dialog.close();
    if (this.app.load({ scenario: name }, { name })) this.app.showPane('guide');
  }

  draw(event) {
    event.preventDefault();
    const seed = this.seed.value.trim();
    this.dialog.close();
    if (this.app.load({ seed, mix: this.mix.value }, { title: `Seed ${seed}, ${this.mix.value}`, about: 'A plan that chance has drawn: faults come and go, then everything heals, and what was promised must hold.' })) this.app.showPane('guide');
  }

  /** What is loaded now. */
  name(words) {
    text(byId('scenario-name'), words);
  }
}

function groups(scenarios) {
  const left = new Set(scenarios);
  const take = (fits) => {
    const taken = [...left].filter(fits);
    taken.forEach((scenario) => left.delete(scenario));
    return taken;
  };
  const naive = take((scenario) => scenario.name.startsWith('naive-'));
  const made = THEMES.map(([name, pattern]) => [name, take((scenario) => pattern.test(scenario.name))]);
  made.splice(1, 0, ['Where a naive client loses', naive]);
  made.push(['Others', [...left]]);
  return made.filter(([, some]) => some.length > 0);
}
