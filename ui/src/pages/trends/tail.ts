import { useEffect, useState, useSyncExternalStore } from 'react';
import type { LiveTuple } from '~/api/types';
import { live, useWanted } from '~/live/live';
import type { TailPoint } from './series';

/** About an hour at four readings a second; the history answers for what is older. */
const LONGEST_TAIL = 15_000;

export interface Tails {
  of: (tag: string) => readonly TailPoint[];
}

/** What the live connection brought for some tags since the page opened, at the full rate of its frames, in order of time. */
export class TailStore {
  private readonly tails = new Map<string, TailPoint[]>();
  private readonly listeners = new Set<() => void>();
  private current: Tails = this.snapshot();

  constructor(private readonly schedule: (act: () => void) => void = (act) => requestAnimationFrame(act)) {}

  /** The tails now; another object each time they grew. */
  readonly now = (): Tails => this.current;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  private snapshot(): Tails {
    return { of: (tag) => this.tails.get(tag) ?? [] };
  }

  take(values: readonly LiveTuple[], wanted: ReadonlySet<string>): void {
    let grown = false;
    for (const [tag, v, q, t] of values) {
      if (!wanted.has(tag)) continue;
      const tail = this.tails.get(tag) ?? [];
      const last = tail.at(-1);
      if (last && t <= last.t) continue;
      tail.push({ t, v, q });
      if (tail.length > LONGEST_TAIL) tail.splice(0, tail.length - LONGEST_TAIL);
      this.tails.set(tag, tail);
      grown = true;
    }
    if (!grown) return;
    this.current = this.snapshot();
    this.schedule(() => this.listeners.forEach((listener) => listener()));
  }
}

export function useTail(tags: readonly string[]): Tails {
  useWanted(tags);
  const [store] = useState(() => new TailStore());
  const key = tags.join(',');
  useEffect(() => {
    const wanted = new Set(key.split(','));
    return live.onFrame((values) => store.take(values, wanted));
  }, [store, key]);
  return useSyncExternalStore(store.subscribe, store.now);
}
