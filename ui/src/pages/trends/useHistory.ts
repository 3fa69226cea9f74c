import { useQueries, type UseQueryResult } from '@tanstack/react-query';
import { useEffect, useMemo, useRef } from 'react';
import { queryClient } from '~/api/client';
import { historyQuery } from '~/api/queries';
import type { History } from '~/api/types';
import { SECOND } from '~/format/time';
import { localNow, serverNow } from '~/live/clock';
import { useLink } from '~/live/live';
import { fetchWindow, type View } from './range';

const MOST_POINTS = 2000;
/** So few readings in the window asked for are drawn one by one. */
const RAW_LIMIT = 4000;

export interface TagHistory {
  tag: string;
  history: History | undefined;
  /** When the answer was made, µs: the live tail goes on from there. */
  until: number;
  error: Error | null;
  loading: boolean;
}

/** Readings that passed while the connection was down are in the history, not in the tail. */
function useRefreshAfterLoss(): void {
  const { state } = useLink();
  const lost = useRef(false);
  useEffect(() => {
    if (state === 'lost') lost.current = true;
    else if (state === 'open' && lost.current) {
      lost.current = false;
      void queryClient.invalidateQueries({ queryKey: ['history'] });
    }
  }, [state]);
}

interface Answer {
  data: History | undefined;
  at: number;
  error: Error | null;
  fetching: boolean;
  old: boolean;
}

function combine(results: UseQueryResult<History>[]): Answer[] {
  return results.map((r) => ({ data: r.data, at: r.dataUpdatedAt, error: r.error, fetching: r.isFetching, old: r.isPlaceholderData }));
}

/** Buckets for the view, and the readings themselves where they are few. `width` is that of the plot in pixels. */
export function useHistory(tags: readonly string[], view: View, width: number): TagHistory[] {
  useRefreshAfterLoss();
  const { from, to } = fetchWindow(view);
  const span = view.to - view.from;
  // Steps of 100 points: a window resized by some pixels asks nothing new.
  const points = Math.min(MOST_POINTS, Math.max(200, Math.ceil(((width * (to - from)) / span) / 100) * 100));
  const refetchInterval = view.live ? Math.min(120, Math.max(15, span / SECOND / 20)) * 1000 : false;
  const enabled = width > 0;
  const charts = useQueries({ queries: tags.map((tag) => ({ ...historyQuery(tag, 'chart', { from, to, points }), refetchInterval, enabled })), combine });
  const raws = useQueries({
    queries: tags.map((tag, i) => {
      const chart = charts[i]?.data;
      const few = chart?.mode === 'chart' && chart.readings <= RAW_LIMIT;
      return { ...historyQuery(tag, 'raw', { from, to, points: RAW_LIMIT + 1000 }), refetchInterval, enabled: enabled && few };
    }),
    combine,
  });
  return useMemo(
    () =>
      tags.map((tag, i) => {
        const chart = charts[i];
        const raw = raws[i];
        const few = chart?.data?.mode === 'chart' && chart.data.readings <= RAW_LIMIT;
        const useRaw = few && !chart.old && raw?.data?.mode === 'raw' && !raw.data.truncated && !raw.old;
        const used = useRaw ? raw : chart;
        return {
          tag, history: used?.data?.tag === tag ? used.data : undefined, until: (used?.at ?? 0) * 1000 + serverNow() - localNow(),
          error: chart?.error ?? null, loading: chart?.fetching ?? false,
        };
      }),
    [tags, charts, raws],
  );
}
