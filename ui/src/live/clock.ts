import { useSyncExternalStore } from 'react';

/** The server's clock, so that ages are right on a computer whose own clock is not. Microseconds. */
let offset = 0;

export function setServerTime(server: number, local: number): void {
  offset = server - local;
}

export function localNow(): number {
  return Date.now() * 1000;
}

export function serverNow(): number {
  return localNow() + offset;
}

const listeners = new Set<() => void>();
let ticking: ReturnType<typeof setInterval> | undefined;
let shown = serverNow();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  ticking ??= setInterval(() => {
    shown = serverNow();
    for (const one of listeners) one();
  }, 1000);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      clearInterval(ticking);
      ticking = undefined;
    }
  };
}

function snapshot(): number {
  // Without a running tick the last one shown may be long past; within one render it must not change.
  const now = serverNow();
  if (ticking === undefined && Math.abs(now - shown) > 500_000) shown = now;
  return shown;
}

/** The server's time, renewed once a second for every age on the page together. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, snapshot);
}
