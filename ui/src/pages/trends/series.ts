import type { ChartHistory, History, Kind, RawHistory, Value } from '~/api/types';
import { severityOf } from '~/format/quality';

/**
 * One tag's line, ready to draw. All arrays have one length; a null in `line` is a gap.
 *
 * t is in milliseconds (what the chart counts in), n the readings behind a point, bad those of them that are not good. In chart mode lo
 * and hi are the envelope and `line` is the average of each bucket; in raw mode every point is a reading and q its quality.
 */
export interface Series {
  tag: string;
  unit: string;
  kind: Kind;
  mode: 'chart' | 'raw';
  bucketMs: number;
  t: number[];
  line: (number | null)[];
  lo: (number | null)[];
  hi: (number | null)[];
  n: number[];
  bad: number[];
  q: number[];
}

export interface TailPoint {
  t: number;
  v: Value;
  q: number;
}

/** A silence this many times the usual step is a gap, not a line. */
const GAP_FACTOR = 5;

export function numeric(value: Value): number | null {
  if (value === null) return null;
  const number = typeof value === 'boolean' ? Number(value) : typeof value === 'string' ? Number.parseFloat(value) : value;
  return Number.isFinite(number) ? number : null;
}

/** The usual step between points: the median. */
function usualStep(t: readonly number[]): number {
  if (t.length < 3) return Infinity;
  const steps = t.slice(1).map((time, i) => time - (t[i] ?? 0)).sort((a, b) => a - b);
  return steps[steps.length >> 1] ?? Infinity;
}

function emptySeries(history: History): Series {
  const bucketMs = history.mode === 'chart' ? history.bucket_us / 1000 : 0;
  return { tag: history.tag, unit: history.unit, kind: history.kind, mode: history.mode, bucketMs, t: [], line: [], lo: [], hi: [], n: [], bad: [], q: [] };
}

interface Point {
  t: number;
  line: number | null;
  lo: number | null;
  hi: number | null;
  n: number;
  bad: number;
  q: number;
}

function push(series: Series, point: Point): void {
  series.t.push(point.t);
  series.line.push(point.line);
  series.lo.push(point.lo);
  series.hi.push(point.hi);
  series.n.push(point.n);
  series.bad.push(point.bad);
  series.q.push(point.q);
}

/** Points in order, with a gap wherever the silence is longer than `limit` ms. */
function assemble(series: Series, points: readonly Point[], limit: number): Series {
  let before: number | undefined;
  for (const point of points) {
    if (before !== undefined && point.t - before > limit) {
      push(series, { t: (before + point.t) / 2, line: null, lo: null, hi: null, n: 0, bad: 0, q: 0 });
    }
    push(series, point);
    before = point.t;
  }
  return series;
}

function rawPoint({ t, v, q }: TailPoint): Point {
  return { t: t / 1000, line: numeric(v), lo: null, hi: null, n: 1, bad: severityOf(q) === 'good' ? 0 : 1, q };
}

function fromRaw(history: RawHistory, tail: readonly TailPoint[]): Series {
  const last = history.t.at(-1) ?? -Infinity;
  const points = history.t.map((t, i) => rawPoint({ t, v: history.v[i] ?? null, q: history.q[i] ?? 0 }));
  // The tail is what came in since: whatever the answer holds already is not drawn twice.
  for (const reading of tail) if (reading.t > last) points.push(rawPoint(reading));
  return assemble(emptySeries(history), points, GAP_FACTOR * usualStep(points.map((point) => point.t)));
}

function least(a: number | null, b: number | null, pick: (...values: number[]) => number): number | null {
  return a === null ? b : b === null ? a : pick(a, b);
}

function addToBucket(bucket: Point | undefined, reading: TailPoint, centre: number): Point {
  const v = numeric(reading.v);
  const bad = severityOf(reading.q) === 'good' ? 0 : 1;
  if (!bucket) return { t: centre, line: v, lo: v, hi: v, n: 1, bad, q: 0 };
  const line = v === null ? bucket.line : bucket.line === null ? v : (bucket.line * bucket.n + v) / (bucket.n + 1);
  return { ...bucket, line, lo: least(bucket.lo, v, Math.min), hi: least(bucket.hi, v, Math.max), n: bucket.n + 1, bad: bucket.bad + bad };
}

/** `until` is when the answer was made, µs: readings of the tail before it are in its last bucket already. */
function fromChart(history: ChartHistory, tail: readonly TailPoint[], until: number): Series {
  const half = history.bucket_us / 2;
  const points = history.t.map((t, i) => ({
    t: (t + half) / 1000, line: history.avg[i] ?? null, lo: history.min[i] ?? null, hi: history.max[i] ?? null, n: history.n[i] ?? 0, bad: history.bad[i] ?? 0, q: 0,
  }));
  const grid = history.t[0] ?? 0;
  for (const reading of tail) {
    if (reading.t <= until) continue;
    const centre = (grid + Math.floor((reading.t - grid) / history.bucket_us) * history.bucket_us + half) / 1000;
    const last = points.at(-1);
    if (last && last.t > centre) continue;
    if (last?.t === centre) points[points.length - 1] = addToBucket(last, reading, centre);
    else points.push(addToBucket(undefined, reading, centre));
  }
  const step = usualStep(points.map((point) => point.t));
  const bucketMs = history.bucket_us / 1000;
  // Buckets that hold a reading each time: an empty one is a gap. Readings rarer than buckets: only an unusual silence is.
  return assemble(emptySeries(history), points, step <= bucketMs * 1.01 ? bucketMs * 1.5 : GAP_FACTOR * step);
}

/** Line of an answer of the server, continued by what the live connection brought since. */
export function toSeries(history: History, tail: readonly TailPoint[] = [], until = 0): Series {
  return history.mode === 'raw' ? fromRaw(history, tail) : fromChart(history, tail, until);
}

/** Index of the last point at or before `ms`, or -1. */
export function indexBefore(t: readonly number[], ms: number): number {
  let low = 0;
  let high = t.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((t[middle] ?? Infinity) <= ms) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

export interface Reading {
  t: number;
  v: number | null;
  q: number;
}

/** What a line says at a moment: the point before it; nothing inside a gap or before the first. */
export function readingAt(series: Series, ms: number): Reading | undefined {
  const index = indexBefore(series.t, ms + series.bucketMs / 2);
  const t = series.t[index];
  return t === undefined ? undefined : { t, v: series.line[index] ?? null, q: series.q[index] ?? 0 };
}

export interface Statistics {
  n: number;
  min: number | null;
  max: number | null;
  mean: number | null;
  goodPercent: number | null;
}

/** Statistics of the readings between two moments (ms). The mean is of readings, each counting once. */
export function statisticsOf(series: Series, fromMs: number, toMs: number): Statistics {
  let [n, bad, sum, weight] = [0, 0, 0, 0];
  let min: number | null = null;
  let max: number | null = null;
  for (let i = indexBefore(series.t, fromMs - 1e-9) + 1; i < series.t.length && (series.t[i] ?? Infinity) <= toMs; i += 1) {
    const count = series.n[i] ?? 0;
    const value = series.line[i] ?? null;
    n += count;
    bad += series.bad[i] ?? 0;
    if (value === null) continue;
    sum += value * count;
    weight += count;
    min = least(min, series.lo[i] ?? value, Math.min);
    max = least(max, series.hi[i] ?? value, Math.max);
  }
  return { n, min, max, mean: weight > 0 ? sum / weight : null, goodPercent: n > 0 ? (100 * (n - bad)) / n : null };
}

export interface QualityBand {
  from: number;
  to: number;
  severity: 'uncertain' | 'bad';
  /** Share of the readings that are not good. */
  share: number;
}

/**
 * Where readings are not good, as stretches of time (ms). Buckets do not say how bad: they count as uncertain, by their share. The last reading
 * holds until `end`, where the view is live: what went bad stays bad until something better comes.
 */
export function qualityBands(series: Series, end?: number): QualityBand[] {
  const bands: QualityBand[] = [];
  const half = series.bucketMs / 2;
  series.t.forEach((t, i) => {
    const bad = series.bad[i] ?? 0;
    if (bad === 0) return;
    const share = bad / (series.n[i] ?? 1);
    const from = t - half;
    const to = series.mode === 'chart' ? t + half : (series.t[i + 1] ?? Math.max(t, end ?? t));
    const severity = series.mode === 'raw' && severityOf(series.q[i] ?? 0) === 'bad' ? 'bad' : 'uncertain';
    const last = bands.at(-1);
    if (last?.severity === severity && Math.abs(last.share - share) < 0.05 && from - last.to < 1) last.to = to;
    else bands.push({ from, to, severity, share });
  });
  return bands;
}
