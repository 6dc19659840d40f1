// What is said to whoever uses the page: short notices in a polite live region, and what to report
// when the simulator has panicked.

import { button, byId, el } from './dom.mjs';

const FOR_MS = 7000;
const LONGER_FOR_MS = 20_000;

/** Says something: `tone` is `good`, `bad` or `plain`. */
export function say(words, tone = 'plain') {
  const root = byId('notices');
  const note = el('div', { class: `notice ${tone}` }, el('p', {}, words));
  const away = () => note.remove();
  note.append(button({ class: 'icon', 'aria-label': 'Dismiss', 'data-testid': 'dismiss', onclick: away }, '×'));
  root.append(note);
  while (root.childElementCount > 3) root.firstChild.remove();
  setTimeout(away, tone === 'bad' ? LONGER_FOR_MS : FOR_MS);
}

/** What to do, and what to report, when the simulator is gone. The rest of the page stays. */
export function tellPanic({ message, asked, plan, version, onAgain }) {
  const report = `portolan playground ${version}\npanic: ${message}\nasked: ${asked}\n\nplan:\n${plan}\n`;
  const area = el('textarea', { readonly: true, rows: '9', 'aria-label': 'What to report', 'data-testid': 'panic-report' });
  area.value = report;
  const copied = el('span', { class: 'quiet', role: 'status' });
  const dialog = el('dialog', { class: 'sheet panic', 'data-testid': 'panic', 'aria-labelledby': 'panic-title' },
    el('h2', { id: 'panic-title' }, 'The simulator has stopped'),
    el('p', {}, 'That is a bug in Portolan’s simulator, not something that you did. Nothing is lost outside of this page. Please report the text below: with the plan in it, it happens again wherever it is run.'),
    el('p', { class: 'panic-message', 'data-testid': 'panic-message' }, message),
    area,
    el('div', { class: 'row-of' },
      button({ class: 'primary', 'data-testid': 'panic-copy', onclick: () => copy(report, area, copied) }, 'Copy the report'),
      button({ 'data-testid': 'panic-again', onclick: onAgain }, 'Load the page again'),
      button({ 'data-testid': 'panic-close', onclick: () => dialog.close() }, 'Close'),
      copied));
  dialog.addEventListener('close', () => say('The simulator has stopped, so nothing happens here any more. Load the page again to go on.', 'bad'));
  document.body.append(dialog);
  dialog.showModal();
  area.scrollTop = 0;
  dialog.querySelector('.primary').focus();
}

/** Copies text, or selects it where copying is not allowed. */
export async function copy(words, area, status) {
  try {
    await navigator.clipboard.writeText(words);
    status.textContent = 'Copied.';
  } catch {
    area.focus();
    area.select();
    status.textContent = 'Copy it by hand: it is selected.';
  }
}
