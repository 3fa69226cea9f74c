import { describe, expect, it } from 'vitest';
import type { EventRow } from '~/api/types';
import { detailOf } from './eventColumns';

function row(facts: Partial<EventRow>): EventRow {
  return {
    id: '', category: 'alarm', type: 'HIGH', time_us: 0, asset: '', tag: '', source: '', gateway: '', text: '', severity: 3, active: true, value: null, threshold: null,
    unit: '', before: null, after: null, actor: '', attributes: {}, ...facts,
  };
}

describe('what an event says of values', () => {
  it.each([
    [{ value: 12.5, threshold: 2, unit: 'bar' }, '12.5 bar (limit 2)'],
    [{ value: 1480.04, unit: 'rpm' }, '1480 rpm'],
    [{ value: true }, 'on'],
    [{}, ''],
    [{ category: 'event', before: 'stopped', after: 'running' }, 'stopped → running'],
    [{ category: 'event', before: null, after: 3.5 }, '— → 3.5'],
  ] as const)('%j reads %s', (facts, text) => {
    expect(detailOf(row(facts))).toBe(text);
  });
});
