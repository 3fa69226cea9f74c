// @vitest-environment jsdom
import { cleanup, render } from '@testing-library/react';
import { afterEach, describe, expect, it } from 'vitest';
import type { GatewayStatus } from '~/api/types';
import { GatewayPanel } from './GatewayPanel';

const GATEWAY: GatewayStatus = {
  gateway: 'rig-1',
  at_us: 1_780_000_000_000_000,
  sources: [],
  buffer: { waiting: 1500, bytes: 4096, oldest_waiting_us: null, max_bytes: 100 * 1024 ** 2, reserved_bytes: 0, disk_bytes: 50 * 1024 ** 2, full_in_s: null, disk_full: false },
  link: { state: 'down', since_us: 1_780_000_000_000_000, error: 'no broker answers', append_ms: [], outages: 0, down_s: 0, down_24h_s: 0, readings_per_s: 0, bytes_per_s: 0, bytes_total: 0, measured: false, again: 0 },
  problems: [],
};

describe('GatewayPanel', () => {
  afterEach(cleanup);

  it('tells what the journal takes on its disk, and why the link is down', () => {
    const { container } = render(<GatewayPanel gateway={GATEWAY} source={undefined} />);
    expect(container.textContent).toContain('1,500 waiting');
    expect(container.textContent).toContain('(50');
    expect(container.textContent).toContain('no broker answers');
    expect(container.querySelector('strong')).toBeNull();
  });

  it('warns in words', () => {
    const { container } = render(<GatewayPanel gateway={{ ...GATEWAY, problems: ['the edge buffer is full in 2.0 hours at this rate'] }} source={undefined} />);
    expect(container.querySelector('strong')?.textContent).toBe('the edge buffer is full in 2.0 hours at this rate');
  });
});
