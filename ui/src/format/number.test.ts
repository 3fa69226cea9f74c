import { describe, expect, it } from 'vitest';
import { digitsOf, formatBytes, formatCount, formatPercent, formatPlain, formatRate, formatValue, UNKNOWN } from './number';

describe('values', () => {
  it.each([
    [21.34567, 'double', undefined, '21.346'],
    [21.34567, 'double', 1, '21.3'],
    [-0.0001, 'double', 2, '0.00'],
    [-12.5, 'double', 1, '−12.5'],
    [0, 'double', undefined, '0.0'],
    [1.5e12, 'double', undefined, '1.500e+12'],
    [42, 'integer', undefined, '42'],
    ['9223372036854775807', 'integer', undefined, '9223372036854775807'],
    [true, 'boolean', undefined, 'on'],
    [0, 'boolean', undefined, 'off'],
    ['AUTO', 'text', undefined, 'AUTO'],
    [null, 'double', undefined, UNKNOWN],
    [Number.NaN, 'double', undefined, UNKNOWN],
    [Number.POSITIVE_INFINITY, 'double', undefined, UNKNOWN],
  ] as const)('writes %s (%s, %s digits) as %s', (value, kind, digits, text) => {
    expect(formatValue(value, kind, digits)).toBe(text);
  });

  it.each([
    [2, '2'], [12.5, '12.5'], [1480.004, '1480'], [-0.25, '−0.25'], [123_456, '123456'], [0, '0'], [1.5e12, '1.500e+12'], [2.5e-7, '2.500e−7'], [true, 'on'],
    ['AUTO', 'AUTO'], ['9223372036854775807', '9223372036854775807'], [null, UNKNOWN], [Number.NaN, UNKNOWN],
  ] as const)('writes %s in a sentence as %s', (value, text) => {
    expect(formatPlain(value)).toBe(text);
  });

  it('takes the digits from the range of the tag', () => {
    expect(digitsOf(0, 100)).toBe(2);
    expect(digitsOf(0, 500)).toBe(1);
    expect(digitsOf(0, 1)).toBe(4);
    expect(digitsOf(0, 1e6)).toBe(0);
    expect(digitsOf(null, 5)).toBeUndefined();
    expect(digitsOf(5, 5)).toBeUndefined();
  });
});

describe('counts', () => {
  it('never shows an unknown as zero', () => {
    expect([formatCount(null), formatRate(undefined), formatBytes(null), formatPercent(null)]).toEqual([UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN]);
  });

  it('sets thousands apart and scales', () => {
    expect(formatCount(1234567)).toBe('1,234,567');
    expect([formatRate(0), formatRate(0.25), formatRate(12.34), formatRate(1250)]).toEqual(['0', '0.25', '12.3', '1,250']);
    expect([formatBytes(512), formatBytes(1536), formatBytes(3 * 1024 ** 3)]).toEqual(['512 B', '1.5 KiB', '3.0 GiB']);
  });

  it('never rounds what is not perfect up to 100 percent', () => {
    expect([formatPercent(100), formatPercent(99.99), formatPercent(97.31)]).toEqual(['100 %', '99.9 %', '97.3 %']);
  });
});
