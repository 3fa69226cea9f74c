import { describe, expect, it, vi } from 'vitest';
import { TailStore } from './tail';

describe('the live tail', () => {
  const wanted = new Set(['A']);

  it('keeps what is wanted, once, in order of time', () => {
    const store = new TailStore((act) => act());
    const told = vi.fn();
    store.subscribe(told);
    const before = store.now();
    store.take([['A', 1, 0, 10, 10], ['B', 5, 0, 10, 10]], wanted);
    store.take([['A', 1, 0, 10, 10]], wanted);
    store.take([['A', 0, 0, 9, 12], ['A', 2, 0, 11, 12]], wanted);
    expect(store.now().of('A').map((point) => point.t)).toEqual([10, 11]);
    expect(store.now().of('B')).toEqual([]);
    expect(told).toHaveBeenCalledTimes(2);
    expect(store.now()).not.toBe(before);
  });

  it('does not grow for ever', () => {
    const store = new TailStore((act) => act());
    for (let i = 0; i < 16_000; i += 1) store.take([['A', i, 0, i + 1, i]], wanted);
    expect(store.now().of('A')).toHaveLength(15_000);
    expect(store.now().of('A').at(-1)?.v).toBe(15_999);
  });
});
