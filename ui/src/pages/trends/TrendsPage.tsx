import { useQueries } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useCallback, useDeferredValue, useMemo, useRef, useState } from 'react';
import { tagQuery } from '~/api/queries';
import { listOf } from '~/app/address';
import { ErrorNotice } from '~/components/ErrorNotice';
import { Page } from '~/components/Page';
import { useZone } from '~/components/useZone';
import { digitsOf } from '~/format/number';
import { Chart, type ChartHandle } from './Chart';
import { useColors } from './colors';
import { exportCsv } from './exportCsv';
import { Head } from './Head';
import { Legend, type LegendLine } from './Legend';
import { NoTrend } from './NoTrend';
import type { PlotEvents, Selection } from './plot';
import { pan, parseLocks, writeLocks, zoom } from './range';
import { toSeries } from './series';
import { TagPicker } from './TagPicker';
import { useTail } from './tail';
import { Tools } from './Tools';
import { useHistory, type TagHistory } from './useHistory';
import { useView } from './useView';

const MOST_TAGS = 8;

function troubleOf(answer: TagHistory, kind: string | undefined): string {
  if (kind === 'text') return 'text is not drawn';
  if (answer.error) return answer.error.message;
  if (answer.history?.t.length === 0) return 'no readings here';
  return answer.history ? '' : 'loading';
}

function useLines(tags: readonly string[], answers: readonly TagHistory[]): LegendLine[] {
  const tails = useTail(tags);
  const { palette } = useColors();
  const metas = useQueries({ queries: tags.map((tag) => tagQuery(tag)), combine: (results) => results.map((r) => r.data) });
  return useMemo(() => {
    return answers.map((answer, i) => {
      const meta = metas[i] ?? undefined;
      const kind = meta?.kind ?? answer.history?.kind ?? 'double';
      const series = answer.history && kind !== 'text' ? toSeries(answer.history, tails.of(answer.tag), answer.until) : undefined;
      return {
        tag: answer.tag, unit: meta?.unit ?? answer.history?.unit ?? '', kind, color: palette[i] ?? '', digits: digitsOf(meta?.min, meta?.max), series, trouble: troubleOf(answer, kind),
      };
    });
  }, [answers, metas, palette, tails]);
}

export function TrendsPage() {
  const { tags: text } = useSearch({ from: '/shell/trends' });
  const navigate = useNavigate({ from: '/trends' });
  const tags = useMemo(() => listOf(text).slice(0, MOST_TAGS), [text]);
  const setTags = useCallback((next: readonly string[]) => void navigate({ search: (old) => ({ ...old, tags: next.join(',') }) }), [navigate]);
  const picker = <TagPicker taken={tags} onPick={(tag) => setTags([...tags, tag].slice(-MOST_TAGS))} />;
  if (tags.length === 0) {
    return (
      <Page title="Trends" tools={picker}>
        <NoTrend onPick={setTags} />
      </Page>
    );
  }
  return <Trend tags={tags} setTags={setTags} picker={picker} />;
}

function Trend({ tags, setTags, picker }: { tags: readonly string[]; setTags: (tags: readonly string[]) => void; picker: React.ReactNode }) {
  const search = useSearch({ from: '/shell/trends' });
  const navigate = useNavigate({ from: '/trends' });
  const zone = useZone();
  const { colors } = useColors();
  const chart = useRef<ChartHandle>(null);
  const [width, setWidth] = useState(0);
  const [cursor, setCursor] = useState<number | null>(null);
  const [selection, setSelection] = useState<Selection | null>(null);
  const { view, change, show } = useView(width);
  const [home] = useState(view);
  const answers = useHistory(tags, view, width);
  const lines = useLines(tags, answers);
  const drawn = useMemo(() => lines.filter((line) => line.kind !== 'text'), [lines]);
  const series = useMemo(() => drawn.map((line) => line.series ?? { ...line, mode: 'raw' as const, bucketMs: 0, t: [], line: [], lo: [], hi: [], n: [], bad: [], q: [] }), [drawn]);
  const locks = useMemo(() => parseLocks(search.lock), [search.lock]);
  const stretch = useDeferredValue(selection ?? { from: view.from / 1000, to: view.to / 1000 });

  const events = useMemo((): PlotEvents => ({
    onZoom: (at, factor) => change((old, now) => zoom(old, at * 1000, factor, now)),
    onPan: (share) => change((old) => pan(old, share)),
    onSelect: setSelection, onCursor: setCursor,
    onReset: () => { setSelection(null); show(home); },
  }), [change, show, home]);
  const lock = (scale: string, unit: string) => {
    const { [unit]: locked, ...others } = locks;
    const bounds = chart.current?.bounds(scale);
    const next = locked ? others : bounds ? { ...locks, [unit]: bounds } : locks;
    void navigate({ search: (old) => ({ ...old, lock: writeLocks(next) }), replace: true });
  };
  const failure = answers.find((answer) => answer.error)?.error;
  const looks = drawn.map(({ tag, unit, kind, color }) => ({ tag, unit, kind, color }));
  return (
    <Page
      title="Trends" fill
      tools={<Tools picker={picker} view={view} change={change} show={show} home={home} onExport={() => exportCsv(drawn, stretch.from, stretch.to)} />}
    >
      {failure && <ErrorNotice error={failure} />}
      <Head view={view} zone={zone} cursor={cursor} selection={selection} lines={drawn} loading={answers.some((answer) => answer.loading)} onZoomTo={(range) => {
        setSelection(null);
        show({ from: range.from * 1000, to: range.to * 1000, live: false });
      }}>
        <Chart
          ref={chart} lines={looks} series={series} view={view} locks={locks} zone={zone} colors={colors} selection={selection} events={events} onWidth={setWidth}
          label={`Trend of ${tags.join(', ')}. Arrows move the cursor, plus and minus zoom, page up and down pan, 0 resets.`}
        />
      </Head>
      <Legend lines={lines} from={stretch.from} to={stretch.to} stretch={selection ? 'selected' : 'in view'} cursor={cursor} locks={locks} onLock={lock} onRemove={(tag) => setTags(tags.filter((one) => one !== tag))} />
    </Page>
  );
}
