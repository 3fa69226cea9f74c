// @vitest-environment jsdom
import { describe, expect, it, vi } from 'vitest';
import * as plot from './plot';
import type { Series } from './series';

// uPlot asks for it when it is loaded; jsdom has none.
vi.hoisted(() => {
  vi.stubGlobal('matchMedia', () => ({ addEventListener: () => undefined, removeEventListener: () => undefined }));
});

const line = (t: number[], values: (number | null)[]): Series => ({
  tag: 'A', unit: '', kind: 'double', mode: 'raw', bucketMs: 0, t, line: values, lo: t.map(() => null), hi: t.map(() => null), n: t.map(() => 1), bad: [], q: [],
});

describe('the table that is drawn', () => {
  it('joins lines by time: what a line lacks is undefined, its gaps stay null', () => {
    const [x, , , a, , , b] = plot.align([line([1, 2, 4], [10, null, 30]), line([2, 3], [5, 6])]);
    expect([...x]).toEqual([1, 2, 3, 4]);
    expect([...(a ?? [])]).toEqual([10, null, undefined, 30]);
    expect([...(b ?? [])]).toEqual([undefined, 5, 6, undefined]);
  });

  it('is empty without lines', () => expect(plot.align([])).toEqual([[]]));

  it('leaves room round a line, a flat one too', () => {
    expect(plot.padded(0, 100)).toEqual([-6, 106]);
    expect(plot.padded(20, 20)).toEqual([19, 21]);
    expect(plot.padded(0, 0)).toEqual([-1, 1]);
    expect(plot.padded(null, null)).toEqual([0, 1]);
  });

  it('writes ticks as finely as their step', () => {
    expect([plot.tick(117.5, 2.5), plot.tick(120, 5), plot.tick(0.25, 0.05)]).toEqual(['117.5', '120', '0.25']);
  });

  it('shares an axis between lines of one unit', () => {
    expect(plot.scaleOf({ unit: 'bar', kind: 'double' })).toBe(plot.scaleOf({ unit: 'bar', kind: 'integer' }));
    expect(plot.scaleOf({ unit: '', kind: 'boolean' })).not.toBe(plot.scaleOf({ unit: '', kind: 'double' }));
  });
});
