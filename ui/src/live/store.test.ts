import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { LiveTuple } from '~/api/types';
import { LiveStore } from './store';

const reading = (tag: string, v: number, t = 1): LiveTuple => [tag, v, 0, t, t];

describe('LiveStore', () => {
  beforeEach(() => vi.useFakeTimers({ now: 10_000 }));
  afterEach(() => vi.useRealTimers());

  it('tells a cell at most four times a second, with the newest value', () => {
    const store = new LiveStore();
    const told = vi.fn();
    store.subscribe('A', told);
    for (let i = 0; i < 100; i += 1) {
      store.accept([reading('A', i)]);
      vi.advanceTimersByTime(10);
    }
    vi.advanceTimersByTime(250);
    expect(told.mock.calls.length).toBeLessThanOrEqual(5);
    expect(store.get('A')?.v).toBe(99);
  });

  it('tells only the cells whose tag changed, and trends of every frame', () => {
    const store = new LiveStore();
    const [a, b, frame] = [vi.fn(), vi.fn(), vi.fn()];
    store.subscribe('A', a);
    store.subscribe('B', b);
    store.onFrame(frame);
    store.accept([reading('A', 1)]);
    store.accept([reading('A', 2)]);
    vi.advanceTimersByTime(300);
    expect([a.mock.calls.length, b.mock.calls.length, frame.mock.calls.length]).toEqual([1, 0, 2]);
  });

  it('freezes when paused and catches up after', () => {
    const store = new LiveStore();
    store.accept([reading('A', 1)]);
    vi.advanceTimersByTime(300);
    store.setPaused(true);
    store.accept([reading('A', 2, 7)]);
    vi.advanceTimersByTime(1000);
    expect(store.get('A')?.v).toBe(1);
    expect(store.newestTime()).toBe(7);
    store.setPaused(false);
    vi.advanceTimersByTime(300);
    expect(store.get('A')?.v).toBe(2);
  });

  it('does not bring an old value back as new', () => {
    const store = new LiveStore();
    store.accept([reading('A', 1)]);
    vi.advanceTimersByTime(300);
    store.forget(['A']);
    expect(store.get('A')).toBeUndefined();
  });
});
