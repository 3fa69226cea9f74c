import type { Kind, Value } from '~/api/types';

export const UNKNOWN = '—';
const MINUS = '−';
const SIGNIFICANT = 5;

const counts = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

/** Whole number with thousands apart; unknown is a dash, never 0. */
export function formatCount(value: number | null | undefined): string {
  return value === null || value === undefined ? UNKNOWN : counts.format(value).replace('-', MINUS);
}

/** Rate with as many digits as it deserves: 0.25, 4.2, 1,250. */
export function formatRate(value: number | null | undefined): string {
  if (value === null || value === undefined) return UNKNOWN;
  if (value === 0 || value >= 100) return formatCount(value);
  return value.toFixed(value >= 10 ? 1 : 2);
}

/** Bytes in binary units. */
export function formatBytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return UNKNOWN;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let size = value;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${size >= 100 || unit === 0 ? size.toFixed(0) : size.toFixed(1)} ${units[unit] ?? ''}`;
}

export function formatPercent(value: number | null | undefined): string {
  if (value === null || value === undefined) return UNKNOWN;
  // 99.96 must not read 100: something was not good.
  const rounded = value < 100 ? Math.min(value, 99.9) : 100;
  return `${rounded === 100 ? '100' : rounded.toFixed(1)} %`;
}

/**
 * Digits after the point that a tag deserves: a ten-thousandth of its range, the resolution of an ordinary transmitter.
 * Without a range the value's own five significant digits decide, and undefined is returned.
 */
export function digitsOf(min: number | null | undefined, max: number | null | undefined): number | undefined {
  if (min === null || min === undefined || max === null || max === undefined || max <= min) return undefined;
  return Math.min(6, Math.max(0, 4 - Math.ceil(Math.log10(max - min))));
}

function formatDouble(value: number, digits: number | undefined): string {
  if (!Number.isFinite(value)) return UNKNOWN;
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e9 || size < 1e-5)) return value.toExponential(3).replaceAll('-', MINUS);
  const own = size === 0 ? 1 : Math.min(6, Math.max(0, SIGNIFICANT - 1 - Math.floor(Math.log10(size))));
  const text = value.toFixed(digits ?? own);
  return (/^-0\.?0*$/.test(text) ? text.slice(1) : text).replace('-', MINUS);
}

/** A value as somebody would write it: no more than five digits that count, no zeros after them. For limits and texts, not for columns. */
export function formatPlain(value: Value): string {
  if (typeof value !== 'number' || !Number.isFinite(value)) return formatValue(value, 'text');
  const text = formatDouble(value, undefined);
  if (text.includes('e')) return text;
  return String(Number.isInteger(value) ? value : Number(value.toPrecision(SIGNIFICANT))).replace('-', MINUS);
}

/** A value as the operator reads it; null, NaN and infinities are unknown. Integers beyond 2^53 arrive as text and stay exact. */
export function formatValue(value: Value | undefined, kind: Kind = 'double', digits?: number): string {
  if (value === null || value === undefined) return UNKNOWN;
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  if (typeof value === 'string') return kind === 'integer' ? value.replace('-', MINUS) : value;
  if (kind === 'boolean') return value === 0 ? 'off' : 'on';
  if (kind === 'integer') return Number.isInteger(value) ? String(value).replace('-', MINUS) : formatDouble(value, digits);
  return formatDouble(value, digits);
}
