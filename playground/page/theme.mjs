// Light or dark: as the system has it, until somebody chooses.

import { byId } from './dom.mjs';

const DARK = window.matchMedia('(prefers-color-scheme: dark)');
const KEY = 'portolan-theme';

/** Calls `changed` when the colours are others. */
export function listenToTheme(changed) {
  const set = (theme) => {
    document.documentElement.dataset.theme = theme;
    byId('theme').setAttribute('aria-label', theme === 'dark' ? 'Change to light' : 'Change to dark');
    changed();
  };
  set(stored() ?? (DARK.matches ? 'dark' : 'light'));
  DARK.addEventListener('change', () => { if (!stored()) set(DARK.matches ? 'dark' : 'light'); });
  byId('theme').addEventListener('click', () => {
    const theme = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark';
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // Where nothing may be kept, it holds for this visit.
    }
    set(theme);
  });
}

function stored() {
  try {
    const theme = localStorage.getItem(KEY);
    return theme === 'light' || theme === 'dark' ? theme : null;
  } catch {
    return null;
  }
}
