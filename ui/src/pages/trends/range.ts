import { parseSpan, parseTime, SECOND, MINUTE, DAY, writeSpan, writeTime } from '~/format/time';

/** What the trend shows. Times in µs. A live view's end is now, whenever that is. */
export interface View {
  from: number;
  to: number;
  live: boolean;
}

export interface RangeSearch {
  from?: string | undefined;
  to?: string | undefined;
  span?: string | undefined;
  live?: '0' | '1' | undefined;
}

export const DEFAULT_SPAN = 15 * MINUTE;
const SHORTEST = SECOND / 100;
const LONGEST = 20 * 366 * DAY;

/** Read the address: from and to if both are sound, otherwise the span up to now. */
export function viewOf(search: RangeSearch, now: number): View {
  const from = parseTime(search.from ?? '');
  const to = parseTime(search.to ?? '');
  if (from !== undefined && to !== undefined && to > from) return { from, to, live: false };
  const span = parseSpan(search.span ?? '') ?? DEFAULT_SPAN;
  return { from: now - span, to: now, live: search.live !== '0' };
}

/** Write the address of a view. */
export function searchOf(view: View): { from: string; to: string; span: string; live: '0' | '1' } {
  if (view.live) return { from: '', to: '', span: writeSpan(view.to - view.from), live: '1' };
  return { from: writeTime(view.from), to: writeTime(view.to), span: '', live: '0' };
}

/** Zoom so that the moment `at` stays where it is; factor below 1 shows less. Live stays live if the end is still now. */
export function zoom(view: View, at: number, factor: number, now: number): View {
  const span = view.to - view.from;
  const next = Math.min(LONGEST, Math.max(SHORTEST, span * factor));
  const share = (at - view.from) / span;
  const from = at - share * next;
  const to = from + next;
  // At the live edge the pointer is rarely exactly at now.
  const live = view.live && (share > 0.95 || to >= now);
  return live ? { from: now - next, to: now, live } : { from, to, live };
}

/** Shift by a share of the span; positive goes to later times. */
export function pan(view: View, share: number): View {
  const by = (view.to - view.from) * share;
  return by === 0 ? view : { from: view.from + by, to: view.to + by, live: false };
}

/** The stretch asked from the server: half a span to spare on each side, snapped so that small moves ask nothing new. */
export function fetchWindow(view: View): { from: number; to: number } {
  const step = (view.to - view.from) / 4;
  const from = Math.floor((view.from - 2 * step) / step) * step;
  const to = Math.ceil((view.to + (view.live ? 0 : 2 * step)) / step) * step;
  return { from: Math.round(from), to: Math.round(to) };
}

export type Locks = Readonly<Record<string, readonly [number, number]>>;

/** Locked y axes in the address: 'bar:0:16,°C:20:90'. */
export function parseLocks(text: string | undefined): Locks {
  const locks: Record<string, readonly [number, number]> = {};
  for (const part of (text ?? '').split(',')) {
    const match = /^(.*):(-?[\d.e+-]+):(-?[\d.e+-]+)$/.exec(part);
    if (!match) continue;
    const [low, high] = [Number(match[2]), Number(match[3])];
    if (Number.isFinite(low) && Number.isFinite(high) && high > low) locks[match[1] ?? ''] = [low, high];
  }
  return locks;
}

export function writeLocks(locks: Locks): string {
  return Object.entries(locks).map(([unit, [low, high]]) => `${unit}:${Number(low.toPrecision(6))}:${Number(high.toPrecision(6))}`).join(',');
}
