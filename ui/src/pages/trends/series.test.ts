import { describe, expect, it } from 'vitest';
import type { ChartHistory, RawHistory } from '~/api/types';
import { indexBefore, qualityBands, readingAt, statisticsOf, toSeries } from './series';

const S = 1_000_000;

function raw(t: number[], v: RawHistory['v'], q: number[] = t.map(() => 0)): RawHistory {
  return { tag: 'A', unit: 'bar', kind: 'double', mode: 'raw', t: t.map((s) => s * S), v, q, truncated: false };
}

function chart(t: number[], bad: number[] = t.map(() => 0)): ChartHistory {
  return {
    tag: 'A', unit: 'bar', kind: 'double', mode: 'chart', bucket_us: 10 * S, readings: t.length * 10, good_percent: 100,
    t: t.map((s) => s * S), n: t.map(() => 10), min: t.map((_, i) => i), max: t.map((_, i) => i + 2), avg: t.map((_, i) => i + 1), bad,
  };
}

describe('raw readings', () => {
  it('are points in milliseconds, without an envelope', () => {
    const series = toSeries(raw([1, 2, 3], [1.5, null, 2.5]));
    expect(series).toMatchObject({ mode: 'raw', t: [1000, 2000, 3000], line: [1.5, null, 2.5], lo: [null, null, null] });
  });

  it('have a gap where they are silent for much longer than usual', () => {
    const series = toSeries(raw([1, 2, 3, 4, 20, 21], [1, 1, 1, 1, 2, 2]));
    expect(series.line).toEqual([1, 1, 1, 1, null, 2, 2]);
    expect(series.t[4]).toBe(12_000);
  });

  it('draw booleans and exact integers as numbers, and no infinity', () => {
    expect(toSeries(raw([1, 2, 3], [true, '9007199254740993', Number.POSITIVE_INFINITY])).line).toEqual([1, 9007199254740992, null]);
  });

  it('go on with the live tail, without drawing a reading twice', () => {
    const tail = [{ t: 2 * S, v: 9, q: 0 }, { t: 3 * S, v: 9, q: 0 }, { t: 4 * S, v: 4, q: 0 }];
    expect(toSeries(raw([1, 2, 3], [1, 2, 3]), tail).line).toEqual([1, 2, 3, 4]);
  });
});

describe('buckets', () => {
  it('stand at their centre with their envelope', () => {
    expect(toSeries(chart([0, 10]))).toMatchObject({ t: [5000, 15_000], line: [1, 2], lo: [0, 1], hi: [2, 3], bucketMs: 10_000 });
  });

  it('that are left out are gaps', () => {
    expect(toSeries(chart([0, 10, 20, 40, 50])).line).toEqual([1, 2, 3, null, 4, 5]);
  });

  it('rarer than the grid are joined: readings that come every minute are no gap each', () => {
    expect(toSeries(chart([0, 60, 120, 180])).line).not.toContain(null);
  });

  it('take in the live tail since the answer was made', () => {
    const tail = [{ t: 12 * S, v: 100, q: 0 }, { t: 18 * S, v: 13, q: 0x8031 }, { t: 21 * S, v: 7, q: 0 }];
    const series = toSeries(chart([0, 10]), tail, 15 * S);
    expect(series.t).toEqual([5000, 15_000, 25_000]);
    expect(series.hi).toEqual([2, 13, 7]);
    expect(series.n).toEqual([10, 11, 1]);
    expect(series.line[1]).toBeCloseTo((2 * 10 + 13) / 11, 9);
    expect(series.bad).toEqual([0, 1, 0]);
  });
});

describe('questions about a line', () => {
  it('finds the point before a moment', () => {
    expect([0, 1, 1.5, 9].map((ms) => indexBefore([1, 2, 3], ms))).toEqual([-1, 0, 0, 2]);
  });

  it('says nothing before the first reading and inside a gap', () => {
    const series = toSeries(raw([1, 2, 3, 4, 20, 21], [1, 1, 1, 1, 2, 2]));
    expect(readingAt(series, 500)).toBeUndefined();
    expect(readingAt(series, 3500)?.v).toBe(1);
    expect(readingAt(series, 15_000)?.v).toBeNull();
  });

  it('counts what is in sight only', () => {
    expect(statisticsOf(toSeries(raw([1, 2, 3, 4], [1, 2, 6, 100], [0, 0x4000, 0, 0])), 1000, 3000)).toEqual({
      n: 3, min: 1, max: 6, mean: 3, goodPercent: (100 * 2) / 3,
    });
    expect(statisticsOf(toSeries(chart([0, 10])), 0, 30_000)).toMatchObject({ n: 20, min: 0, max: 3, mean: 1.5, goodPercent: 100 });
    expect(statisticsOf(toSeries(raw([], [])), 0, 1)).toEqual({ n: 0, min: null, max: null, mean: null, goodPercent: null });
  });

  it('joins neighbouring stretches of one quality', () => {
    const q = [0, 0x4090, 0x4090, 0x8031, 0];
    expect(qualityBands(toSeries(raw([1, 2, 3, 4, 5], [1, 1, 1, null, 1], q)))).toEqual([
      { from: 2000, to: 4000, severity: 'uncertain', share: 1 },
      { from: 4000, to: 5000, severity: 'bad', share: 1 },
    ]);
    expect(qualityBands(toSeries(raw([1, 2], [1, null], [0, 0x8031])), 9000)).toEqual([{ from: 2000, to: 9000, severity: 'bad', share: 1 }]);
    expect(qualityBands(toSeries(chart([0, 10], [0, 5])))).toEqual([{ from: 10_000, to: 20_000, severity: 'uncertain', share: 0.5 }]);
  });
});
