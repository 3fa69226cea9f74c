import { Button } from '@mantine/core';
import type { ReactNode } from 'react';
import { formatPercent } from '~/format/number';
import { formatExact, formatSpan, formatTime, zoneLabel } from '~/format/time';
import { useNow } from '~/live/clock';
import { usePaused } from '~/live/live';
import type { LegendLine } from './Legend';
import type { Selection } from './plot';
import type { View } from './range';
import { statisticsOf, type Series } from './series';
import styles from './TrendsPage.module.css';

interface Props {
  view: View;
  zone: string;
  cursor: number | null;
  selection: Selection | null;
  lines: readonly LegendLine[];
  loading: boolean;
  onZoomTo: (selection: Selection) => void;
  children: ReactNode;
}

/** '42 s buckets, 97.3 % good' or 'every reading, 100 % good': what the lines are made of. */
export function resolutionOf(series: readonly Series[], fromMs: number, toMs: number): string {
  if (series.length === 0) return '';
  const buckets = [...new Set(series.map((one) => (one.mode === 'raw' ? 'every reading' : `${formatSpan(one.bucketMs * 1000)} buckets`)))];
  let [n, good] = [0, 0];
  for (const one of series) {
    const stats = statisticsOf(one, fromMs, toMs);
    n += stats.n;
    good += ((stats.goodPercent ?? 0) / 100) * stats.n;
  }
  return n === 0 ? 'no readings in view' : `${buckets.join(' and ')}, ${formatPercent((100 * good) / n)} good`;
}

function LiveEdge({ lines }: { lines: readonly LegendLine[] }) {
  const now = useNow();
  const paused = usePaused();
  const newest = Math.max(...lines.map((line) => line.series?.t.at(-1) ?? -Infinity));
  if (paused !== null) return <span>live, paused</span>;
  if (!Number.isFinite(newest)) return <span>live, no readings yet</span>;
  const delay = Math.max(0, now - newest * 1000);
  return <span>live edge {delay < 1_000_000 ? 'less than 1 s' : formatSpan(delay)} behind</span>;
}

export function Head({ view, zone, cursor, selection, lines, loading, onZoomTo, children }: Props) {
  const series = lines.flatMap((line) => (line.series ? [line.series] : []));
  const resolution = resolutionOf(series, view.from / 1000, view.to / 1000);
  return (
    <section className={styles.frame} aria-label="Chart">
      <div className={styles.head}>
        <span>
          {formatTime(view.from, zone)} to {formatTime(view.to, zone).slice(formatTime(view.from, zone).slice(0, 10) === formatTime(view.to, zone).slice(0, 10) ? 11 : 0)}{' '}
          <span className="dim">
            {zoneLabel(zone, view.to)}, {formatSpan(view.to - view.from)}
          </span>
        </span>
        <span className="dim" data-testid="resolution">
          {loading && resolution === 'no readings in view' ? 'loading' : resolution}
        </span>
        {view.live && <span className="dim"><LiveEdge lines={lines} /></span>}
        {selection && (
          <span>
            Selected {formatSpan((selection.to - selection.from) * 1000)}{' '}
            <Button size="compact-xs" variant="default" onClick={() => onZoomTo(selection)}>
              Zoom to it
            </Button>
          </span>
        )}
        <span className={cursor === null ? 'dim' : undefined}>{cursor === null ? 'wheel zooms, drag pans, shift-drag selects' : formatExact(cursor * 1000, zone)}</span>
      </div>
      {children}
    </section>
  );
}
