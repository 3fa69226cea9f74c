import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { describeQuality, severityOf } from './quality';

const python = readFileSync(new URL('../../../src/trunkline/model/quality.py', import.meta.url), 'utf8');

describe('qualities', () => {
  const codes = [...python.matchAll(/^ {4}([A-Z_]+) = (0x[0-9A-F]{4})/gm)].map((m) => [m[1] ?? '', Number(m[2])] as const);

  it('finds the table of the server', () => expect(codes.length).toBeGreaterThan(20));

  it.each(codes)('%s has the name and the words of the server', (name, code) => {
    const words = new RegExp(`Quality\\.${name}: "([^"]+)"`).exec(python)?.[1];
    expect(describeQuality(code)).toMatchObject({ name, reason: words });
  });

  it('keeps an unnamed code of a device', () => {
    expect(describeQuality(0x8123)).toMatchObject({ name: '0x8123', reason: 'bad 0x8123', severity: 'bad', mark: '✕' });
  });

  it('takes the severity from the leading bits', () => {
    expect([0, 0x4090, 0x8031, 0xc000].map(severityOf)).toEqual(['good', 'uncertain', 'bad', 'bad']);
  });

  it('marks stale, manual and simulated values', () => {
    expect(describeQuality(0x4090)).toMatchObject({ stale: true, mark: '?' });
    expect(describeQuality(0x8031)).toMatchObject({ stale: true, mark: '✕' });
    expect(describeQuality(0x0096).mark).toBe('M');
    expect(describeQuality(0x4f05).mark).toBe('S');
    expect(describeQuality(0)).toMatchObject({ stale: false, mark: '' });
  });
});
