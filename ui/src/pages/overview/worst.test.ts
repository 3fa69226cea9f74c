import { describe, expect, it } from 'vitest';
import type { GatewayStatus, QualityCount, SourceStatus } from '~/api/types';
import { qualityLines, worstSources } from './worst';

function source(id: string, state: SourceStatus['state'], stale_tags = 0): SourceStatus {
  return { id, type: 'modbus', state, since_us: 0, last_reading_us: null, readings_total: 0, errors_total: 0, readings_per_s: 0, error: null, tags: 1, stale_tags, clock_skew_us: 0, reduced_total: 0, reduced_furthest: 0 };
}

const gateway = (sources: SourceStatus[]): GatewayStatus => ({
  gateway: 'GW', at_us: 0, sources, problems: [],
  buffer: { waiting: 0, bytes: 0, oldest_waiting_us: null, max_bytes: 1, reserved_bytes: 0, disk_bytes: 0, full_in_s: null, disk_full: false },
  link: { state: 'up', since_us: 0, error: null, append_ms: [], outages: 0, down_s: 0, down_24h_s: 0, readings_per_s: 0, bytes_per_s: 0, bytes_total: 0, measured: false, again: 0 },
});

describe('the overview', () => {
  it('names the worst sources first and leaves out the healthy', () => {
    const worst = worstSources([gateway([source('ok', 'connected'), source('stale', 'connected', 3), source('down', 'backing_off'), source('wrong', 'misconfigured')])]);
    expect(worst.map((one) => one.id)).toEqual(['wrong', 'down', 'stale']);
  });

  it('counts tags by what is wrong with them', () => {
    const count = (q: number, tags: number): QualityCount => ({ q, tags, quality: '', reason: '', severity: 'good' });
    expect(qualityLines([count(0x800a, 1), count(0x4090, 2), count(0x0096, 1), count(0, 40)])).toEqual([
      { severity: 'bad', reason: 'timeout', tags: 1 }, { severity: 'uncertain', reason: 'stale', tags: 2 }, { severity: 'good', reason: 'good', tags: 41 },
    ]);
  });
});
