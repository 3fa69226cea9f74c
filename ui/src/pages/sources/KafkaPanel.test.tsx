// @vitest-environment jsdom
import { cleanup, render, screen } from '@testing-library/react';
import { afterEach, describe, expect, it } from 'vitest';
import type { Kafka } from '~/api/types';
import { KafkaPanel } from './KafkaPanel';

const KAFKA: Kafka = {
  at_us: 1_780_000_000_000_000,
  brokers: [1, 2],
  brokers_away: [3],
  partitions: 2,
  under_replicated: ['telemetry.raw/0', 'telemetry.raw/1'],
  under_min_isr: [],
  offline: ['metrics.gateways/0'],
  topics: [{ topic: 'telemetry.raw', partitions: 2, records: 1500, records_per_s: 12.5, disk_bytes: 3 * 1024 ** 2 }],
  groups: [
    { group: 'validate', topic: 'telemetry.raw', behind: 40 },
    { group: 'historian', topic: 'telemetry.clean', behind: 7 },
  ],
  disks: [
    { broker: 1, directory: '/kafka/data', used_bytes: 5 * 1024 ** 2, total_bytes: 400 * 1024 ** 3, free_bytes: 300 * 1024 ** 3, online: true },
    { broker: 2, directory: '/kafka/data', used_bytes: 5 * 1024 ** 2, total_bytes: 400 * 1024 ** 3, free_bytes: 2 * 1024 ** 3, online: true },
    { broker: 3, directory: '/kafka/data', used_bytes: 0, total_bytes: -1, free_bytes: -1, online: false },
  ],
  faults: ['cannot ask for the positions of group historian'],
};

describe('KafkaPanel', () => {
  afterEach(cleanup);

  it('names what is away and what could not be asked', () => {
    const { container } = render(<KafkaPanel kafka={KAFKA} />);
    expect(container.textContent).toContain('Brokers 2, away: 3');
    expect(container.textContent).toContain('Under-replicated 2');
    expect(screen.getByTitle('metrics.gateways/0').textContent).toBe('Offline 1');
    expect(screen.getByText('cannot ask for the positions of group historian')).toBeTruthy();
  });

  it('tells the room on the disks, and where it is short', () => {
    const { container } = render(<KafkaPanel kafka={KAFKA} />);
    expect(container.textContent).toContain('Disk of 1 300 GiB of 400 GiB free');
    expect(screen.getByText('2.0 GiB of 400 GiB free: nearly full').tagName).toBe('STRONG');
    expect(screen.getByText('out of service').tagName).toBe('STRONG');
    expect(screen.getByText('3.0 MiB')).toBeTruthy();
  });

  it('shows with a topic how far its own readers are', () => {
    render(<KafkaPanel kafka={KAFKA} />);
    expect(screen.getByText('validate 40')).toBeTruthy();
    expect(screen.queryByText(/historian 7/)).toBeNull();
  });
});
