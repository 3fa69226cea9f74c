import { describe, expect, it } from 'vitest';
import { rowsOf } from './exportCsv';
import { toSeries } from './series';

const look = { tag: 'P.A', unit: 'bar', kind: 'double', color: '', digits: 1, trouble: '' } as const;

describe('the export', () => {
  it('has a row a reading in view, with its quality, and none for gaps', () => {
    const series = toSeries({ tag: 'P.A', unit: 'bar', kind: 'double', mode: 'raw', truncated: false, t: [1e6, 2e6, 3e6, 60e6], v: [1.23456789, null, 3, 4], q: [0, 0x8031, 0, 0] });
    expect(rowsOf([{ ...look, series }], 1000, 59_000)).toEqual([
      ['1970-01-01T00:00:01.000Z', 'P.A', 'bar', 1.23456789, null, null, 1, 0, 'GOOD'],
      ['1970-01-01T00:00:02.000Z', 'P.A', 'bar', null, null, null, 1, 1, 'BAD_COMMS_LOST'],
      ['1970-01-01T00:00:03.000Z', 'P.A', 'bar', 3, null, null, 1, 0, 'GOOD'],
    ]);
  });

  it('has a row a bucket, stamped with its start', () => {
    const series = toSeries({
      tag: 'P.A', unit: 'bar', kind: 'double', mode: 'chart', bucket_us: 10e6, readings: 10, good_percent: 90, t: [10e6], n: [10], min: [1], max: [3], avg: [2], bad: [1],
    });
    expect(rowsOf([{ ...look, series }], 0, 60_000)).toEqual([['1970-01-01T00:00:10.000Z', 'P.A', 'bar', 2, 1, 3, 10, 1, '']]);
  });
});
