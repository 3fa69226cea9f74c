import { describe, expect, it } from 'vitest';
import {
  formatAge, formatClock, formatExact, formatSpan, formatTime, HOUR, MINUTE, parseSpan, parseTime, SECOND, writeSpan, writeTime, zoneLabel, zoneName,
} from './time';

const MOMENT = Date.parse('2026-11-21T12:03:11.250Z') * 1000;

describe('times', () => {
  it('are written in the zone that is asked for', () => {
    expect(formatTime(MOMENT, 'UTC')).toBe('2026-11-21 12:03:11');
    expect(formatClock(MOMENT, 'Asia/Shanghai')).toBe('20:03:11');
    expect(formatExact(MOMENT, 'UTC')).toBe('2026-11-21 12:03:11.250 UTC');
    expect(zoneLabel('UTC', MOMENT)).toBe('UTC');
  });

  it('unknown is a dash', () => expect([formatClock(null, 'UTC'), formatTime(undefined, 'UTC'), formatAge(null, 0)]).toEqual(['—', '—', '—']));

  it('the zone of the site is UTC until it is known', () => {
    expect(zoneName('site', undefined)).toBe('UTC');
    expect(zoneName('site', 'Europe/Oslo')).toBe('Europe/Oslo');
    expect(zoneName('utc', 'Europe/Oslo')).toBe('UTC');
  });

  it('go through the address unharmed', () => {
    expect(parseTime(writeTime(MOMENT))).toBe(MOMENT);
    expect(parseTime('2026-11-21T13:03:11.25+01:00')).toBe(MOMENT);
    expect(parseTime('2026-11-21T12:03:11')).toBeUndefined();
    expect(parseTime('yesterday')).toBeUndefined();
  });
});

describe('spans', () => {
  it.each([[400_000, '0.4 s'], [42 * SECOND, '42 s'], [3 * MINUTE, '3 min'], [2.5 * HOUR, '2.5 h'], [96 * HOUR, '4 d'], [-5 * SECOND, '−5 s']])(
    '%d µs reads %s',
    (us, text) => expect(formatSpan(us)).toBe(text),
  );

  it.each(['15m', '90s', '1h', '7d', '1.5s'])('%s goes through the address unharmed', (text) => {
    expect(writeSpan(parseSpan(text) ?? 0)).toBe(text);
  });

  it.each(['', '0m', '-5m', '15', '15 parsecs'])('%s is no span', (text) => expect(parseSpan(text)).toBeUndefined());

  it('of ages: close to now is now, a clock ahead is shown', () => {
    expect(formatAge(MOMENT, MOMENT + 300_000)).toBe('< 1 s');
    expect(formatAge(MOMENT, MOMENT + 4.7 * SECOND)).toBe('4 s');
    expect(formatAge(MOMENT, MOMENT - 30 * SECOND)).toBe('−30 s');
  });
});
