import { download, toCsv, type Cell } from '~/format/csv';
import { describeQuality } from '~/format/quality';
import { writeTime } from '~/format/time';
import type { LegendLine } from './Legend';

const HEADER = ['time_utc', 'tag', 'unit', 'value', 'min', 'max', 'readings', 'not_good', 'quality'];

/** Rows of what is drawn between two moments (ms): a row a reading, or a row a bucket with its average as value. */
export function rowsOf(lines: readonly LegendLine[], fromMs: number, toMs: number): Cell[][] {
  return lines.flatMap(({ tag, unit, series }) =>
    (series?.t ?? []).flatMap((t, i) => {
      const n = series?.n[i] ?? 0;
      if (!series || n === 0 || t < fromMs || t > toMs) return [];
      const quality = series.mode === 'raw' ? describeQuality(series.q[i] ?? 0).name : '';
      return [[writeTime((t - series.bucketMs / 2) * 1000), tag, unit, series.line[i], series.lo[i], series.hi[i], n, series.bad[i], quality]];
    }),
  );
}

export function exportCsv(lines: readonly LegendLine[], fromMs: number, toMs: number): void {
  const name = `trend-${writeTime(fromMs * 1000).slice(0, 19).replaceAll(':', '')}Z.csv`;
  download(name, toCsv(HEADER, rowsOf(lines, fromMs, toMs)));
}
