import { useSyncExternalStore } from 'react';
import type { ZoneChoice } from '~/format/time';

export type Density = 'comfortable' | 'compact';

export interface Preferences {
  zone: ZoneChoice;
  density: Density;
}

const KEY = 'trunkline.preferences';
const DEFAULTS: Preferences = { zone: 'site', density: 'comfortable' };
const listeners = new Set<() => void>();

function read(): Preferences {
  try {
    return { ...DEFAULTS, ...(JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<Preferences>) };
  } catch {
    return DEFAULTS; // storage is barred or holds something else: the defaults do
  }
}

let current: Preferences | undefined;

function snapshot(): Preferences {
  current ??= read();
  return current;
}

function apply(): void {
  document.documentElement.dataset.density = snapshot().density;
}

export function setPreferences(change: Partial<Preferences>): void {
  current = { ...snapshot(), ...change };
  try {
    localStorage.setItem(KEY, JSON.stringify(current));
  } catch {
    // kept for this page only
  }
  apply();
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Choices of this browser, kept in its storage. */
export function usePreferences(): Preferences {
  return useSyncExternalStore(subscribe, snapshot);
}

export const startPreferences = apply;
