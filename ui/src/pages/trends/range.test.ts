import { describe, expect, it } from 'vitest';
import { HOUR, MINUTE } from '~/format/time';
import { DEFAULT_SPAN, fetchWindow, pan, parseLocks, searchOf, viewOf, writeLocks, zoom, type View } from './range';

const NOW = Date.parse('2026-11-21T12:00:00Z') * 1000;
const fixed: View = { from: NOW - HOUR, to: NOW, live: false };
const live: View = { ...fixed, live: true };

describe('a view and its address', () => {
  it('is live over the default span when nothing is said', () => {
    expect(viewOf({}, NOW)).toEqual({ from: NOW - DEFAULT_SPAN, to: NOW, live: true });
  });

  it('go into each other', () => {
    expect(viewOf(searchOf(fixed), NOW)).toEqual(fixed);
    expect(viewOf(searchOf(live), NOW)).toEqual(live);
  });

  it('falls back when times are nonsense or turned round', () => {
    expect(viewOf({ from: 'soon', to: 'later' }, NOW).live).toBe(true);
    expect(viewOf({ from: '2026-11-21T12:00:00Z', to: '2026-11-21T11:00:00Z' }, NOW).live).toBe(true);
  });
});

describe('moving', () => {
  it('zooms at the pointer', () => {
    const at = NOW - HOUR / 4;
    const next = zoom(fixed, at, 0.5, NOW);
    expect(next.to - next.from).toBe(HOUR / 2);
    expect((at - next.from) / (next.to - next.from)).toBeCloseTo(0.75, 9);
  });

  it('stays live when zooming at the live edge, and leaves it elsewhere', () => {
    expect(zoom(live, NOW, 0.5, NOW)).toEqual({ from: NOW - HOUR / 2, to: NOW, live: true });
    expect(zoom(live, NOW - HOUR / 2, 0.5, NOW).live).toBe(false);
    expect(zoom(live, NOW - HOUR / 2, 2, NOW).live).toBe(true);
  });

  it('has limits', () => {
    expect(zoom(fixed, NOW, 1e-12, NOW).to - zoom(fixed, NOW, 1e-12, NOW).from).toBeCloseTo(10_000, 0);
    expect(zoom(fixed, NOW, 1e12, NOW).from).toBeGreaterThan(0);
  });

  it('panning leaves live', () => {
    expect(pan(live, -0.5)).toEqual({ from: NOW - 1.5 * HOUR, to: NOW - 0.5 * HOUR, live: false });
    expect(pan(live, 0)).toBe(live);
  });

  it('asks for more than it shows, and nothing new after a small move', () => {
    const window = fetchWindow(fixed);
    expect(window.from).toBeLessThanOrEqual(fixed.from - HOUR / 2);
    expect(window.to).toBeGreaterThanOrEqual(fixed.to + HOUR / 2);
    expect(fetchWindow(pan(fixed, 0.1))).toEqual(fetchWindow(pan(fixed, 0.05)));
    expect(fetchWindow({ from: NOW, to: NOW + MINUTE, live: true }).to).toBe(NOW + MINUTE);
  });
});

describe('locks of axes', () => {
  it('go through the address', () => {
    const locks = { bar: [0, 16], 'm³/h': [-5, 1e6], '': [0, 1] } as const;
    expect(parseLocks(writeLocks(locks))).toEqual(locks);
  });

  it('ignore what is no range', () => expect(parseLocks('bar:5:1,x,°C:a:b')).toEqual({}));
});
