import { UNKNOWN } from './number';

export const SECOND = 1_000_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

export type ZoneChoice = 'site' | 'utc' | 'local';

const formats = new Map<string, Intl.DateTimeFormat>();

function format(zone: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = zone + JSON.stringify(options);
  let made = formats.get(key);
  if (!made) {
    made = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, hourCycle: 'h23', ...options });
    formats.set(key, made);
  }
  return made;
}

const CLOCK: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit', second: '2-digit' };
const DATE: Intl.DateTimeFormatOptions = { year: 'numeric', month: '2-digit', day: '2-digit' };

/** Name of the zone that a choice means; the site's until the site is known is UTC. */
export function zoneName(choice: ZoneChoice, site: string | undefined): string {
  if (choice === 'utc') return 'UTC';
  if (choice === 'local') return Intl.DateTimeFormat().resolvedOptions().timeZone;
  return site ?? 'UTC';
}

/** Short name of the zone at a moment: 'UTC', 'CET', 'GMT+8'. */
export function zoneLabel(zone: string, us: number): string {
  if (zone === 'UTC') return 'UTC';
  const parts = new Intl.DateTimeFormat('en-GB', { timeZone: zone, timeZoneName: 'short' }).formatToParts(us / 1000);
  return parts.find((part) => part.type === 'timeZoneName')?.value ?? zone;
}

/** '12:03:11' */
export function formatClock(us: number | null | undefined, zone: string): string {
  return us === null || us === undefined ? UNKNOWN : format(zone, CLOCK).format(us / 1000);
}

/** '2026-11-21 12:03:11' */
export function formatTime(us: number | null | undefined, zone: string): string {
  return us === null || us === undefined ? UNKNOWN : format(zone, { ...DATE, ...CLOCK }).format(us / 1000);
}

/** '2026-11-21 12:03:11.250 UTC': for details, where thousandths and the zone matter. */
export function formatExact(us: number | null | undefined, zone: string): string {
  if (us === null || us === undefined) return UNKNOWN;
  const thousandths = Math.floor((((us % SECOND) + SECOND) % SECOND) / 1000);
  return `${formatTime(us, zone)}.${String(thousandths).padStart(3, '0')} ${zoneLabel(zone, us)}`;
}

/** '2026-11-21 13:00' for the ledger's hours. */
export function formatHour(us: number, zone: string): string {
  return format(zone, { ...DATE, hour: '2-digit', minute: '2-digit' }).format(us / 1000);
}

/** A span of time in its largest sensible unit: '0.4 s', '42 s', '3 min', '2.5 h', '4 d'. */
export function formatSpan(us: number): string {
  const size = Math.abs(us);
  const sign = us < 0 ? '−' : '';
  if (size < 10 * SECOND) return `${sign}${trim(size / SECOND, size < SECOND / 10 ? 3 : 1)} s`;
  if (size < 2 * MINUTE) return `${sign}${Math.round(size / SECOND)} s`;
  if (size < 2 * HOUR && size !== HOUR) return `${sign}${Math.round(size / MINUTE)} min`;
  if (size < 2 * DAY) return `${sign}${trim(size / HOUR, 1)} h`;
  return `${sign}${trim(size / DAY, 1)} d`;
}

function trim(value: number, digits: number): string {
  return String(Number(value.toFixed(digits)));
}

/** Age of a reading. A stamp slightly ahead of our clock is 'now'; far ahead is shown as negative, for a wrong clock is news. */
export function formatAge(us: number | null | undefined, now: number): string {
  if (us === null || us === undefined) return UNKNOWN;
  const age = now - us;
  if (age > -SECOND && age < SECOND) return '< 1 s';
  return age < 10 * SECOND && age > 0 ? `${Math.floor(age / SECOND)} s` : formatSpan(age);
}

const SPAN = /^(\d+(?:\.\d+)?)(s|m|min|h|d|w)$/;
const UNITS: Record<string, number> = { s: SECOND, m: MINUTE, min: MINUTE, h: HOUR, d: DAY, w: 7 * DAY };

/** Parse '15m', '90s', '1.5h', '7d'; undefined when it is none. */
export function parseSpan(text: string): number | undefined {
  const match = SPAN.exec(text);
  const size = match ? Number(match[1]) * (UNITS[match[2] ?? ''] ?? 0) : 0;
  return size > 0 ? size : undefined;
}

/** The shortest text that parseSpan reads back. */
export function writeSpan(us: number): string {
  for (const [name, size] of [['d', DAY], ['h', HOUR], ['m', MINUTE]] as const) {
    if (us >= size && us % size === 0) return `${us / size}${name}`;
  }
  return `${Number((us / SECOND).toFixed(3))}s`;
}

/** Parse ISO 8601 with a zone to microseconds; undefined when it is none. */
export function parseTime(text: string): number | undefined {
  if (!/(Z|[+-]\d\d:?\d\d)$/.test(text)) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms * 1000;
}

/** ISO 8601 in UTC with thousandths, as addresses carry it. */
export function writeTime(us: number): string {
  return new Date(us / 1000).toISOString();
}
