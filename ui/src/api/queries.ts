import { infiniteQueryOptions, keepPreviousData, queryOptions } from '@tanstack/react-query';
import { localNow, serverNow, setServerTime } from '~/live/clock';
import { call, withParams } from './http';
import type {
  DeadLetterPage, ErrorFrame, EventPage, History, Ledger, Proof, QualityCounts, Session, Site, Status, TagPage, TreeNode,
} from './types';

/** Names under which answers are kept; the live connection writes some of them. */
export const keys = {
  session: ['session'] as const,
  site: ['site'] as const,
  status: ['status'] as const,
  proof: ['proof'] as const,
  liveError: ['live-error'] as const,
};

export const sessionQuery = queryOptions({
  queryKey: keys.session,
  queryFn: async ({ signal }) => (await call('/session', { signal })) as Session,
  staleTime: 5 * 60_000,
  retry: false,
});

export const siteQuery = queryOptions({
  queryKey: keys.site,
  queryFn: async ({ signal }) => {
    const before = localNow();
    const site = (await call('/site', { signal })) as Site;
    setServerTime(site.now_us, (before + localNow()) / 2);
    return site;
  },
  staleTime: 10 * 60_000,
  refetchInterval: 10 * 60_000,
});

/** The live connection renews it every two seconds; the interval is for when that is down. */
export const statusQuery = queryOptions({
  queryKey: keys.status,
  queryFn: async ({ signal }) => (await call('/status', { signal })) as Status,
  refetchInterval: 15_000,
});

/** Balance as last proven; the live connection renews it. */
export const proofQuery = queryOptions({
  queryKey: keys.proof,
  queryFn: async ({ signal }): Promise<Proof> => {
    const { balanced, totals, at_us, proof } = (await call('/ledger', { signal })) as Ledger;
    return { balanced, totals, at_us, proof };
  },
  refetchInterval: 60_000,
});

export const liveErrorQuery = queryOptions({
  queryKey: keys.liveError,
  queryFn: (): ErrorFrame | null => null,
  staleTime: Infinity,
  initialData: null,
});

export const treeQuery = (under: string) =>
  queryOptions({
    queryKey: ['tree', under],
    queryFn: async ({ signal }) => ((await call(withParams('/tree', { under }), { signal })) as { nodes: TreeNode[] }).nodes,
    refetchInterval: 60_000,
  });

export const tagsQuery = (under: string, search: string, limit = 500) =>
  infiniteQueryOptions({
    queryKey: ['tags', under, search, limit],
    queryFn: async ({ pageParam, signal }) =>
      (await call(withParams('/tags', { under, search, limit, cursor: pageParam }), { signal })) as TagPage,
    initialPageParam: '',
    getNextPageParam: (last) => last.next ?? undefined,
    placeholderData: keepPreviousData,
  });

export const tagSearchQuery = (search: string) =>
  queryOptions({
    queryKey: ['tag-search', search],
    queryFn: async ({ signal }) => (await call(withParams('/tags', { search, limit: 12 }), { signal })) as TagPage,
    placeholderData: keepPreviousData,
  });

/** One tag by its full path; null when there is none. */
export const tagQuery = (tag: string) =>
  queryOptions({
    queryKey: ['tag', tag],
    queryFn: async ({ signal }) => {
      const page = (await call(withParams('/tags', { search: tag, limit: 50 }), { signal })) as TagPage;
      return page.tags.find((one) => one.tag === tag) ?? null;
    },
    staleTime: 10 * 60_000,
  });

export const qualityQuery = (under: string) =>
  queryOptions({
    queryKey: ['quality', under],
    queryFn: async ({ signal }) => (await call(withParams('/quality', { under }), { signal })) as QualityCounts,
    refetchInterval: 5_000,
  });

export interface HistoryRange {
  from: number;
  to: number;
  points: number;
}

export const historyQuery = (tag: string, mode: 'chart' | 'raw', { from, to, points }: HistoryRange) =>
  queryOptions({
    queryKey: ['history', tag, mode, from, to, points],
    queryFn: async ({ signal }) => {
      const size = mode === 'chart' ? { points } : { limit: points };
      return (await call(withParams('/history', { tag, from: Math.round(from), to: Math.round(to), mode, ...size }), { signal })) as History;
    },
    placeholderData: keepPreviousData,
    gcTime: 60_000,
  });

export interface EventFilter {
  category?: 'event' | 'alarm' | undefined;
  under?: string | undefined;
  search?: string | undefined;
  from?: number | undefined;
  to?: number | undefined;
  /** Instead of from: so long ago, µs. */
  span?: number | undefined;
}

/** One page of events, newest first. */
export async function fetchEvents({ span, ...filter }: EventFilter, limit: number, cursor: string, signal: AbortSignal): Promise<EventPage> {
  const from = filter.from ?? (span === undefined ? undefined : Math.round(serverNow() - span));
  return (await call(withParams('/events', { ...filter, from, limit, cursor }), { signal })) as EventPage;
}

export const eventsQuery = (filter: EventFilter, limit = 200) =>
  infiniteQueryOptions({
    queryKey: ['events', filter, limit],
    queryFn: ({ pageParam, signal }) => fetchEvents(filter, limit, pageParam, signal),
    initialPageParam: '',
    getNextPageParam: (last) => last.next ?? undefined,
    placeholderData: keepPreviousData,
  });

export const ledgerQuery = (from?: number, to?: number) =>
  queryOptions({
    queryKey: ['ledger', from, to],
    queryFn: async ({ signal }) => (await call(withParams('/ledger', { from, to }), { signal })) as Ledger,
    refetchInterval: 10_000,
    placeholderData: keepPreviousData,
  });

export const deadLettersQuery = infiniteQueryOptions({
  queryKey: ['deadletters'],
  queryFn: async ({ pageParam, signal }) =>
    (await call(withParams('/deadletters', { limit: 200, cursor: pageParam }), { signal })) as DeadLetterPage,
  initialPageParam: '',
  getNextPageParam: (last) => last.next ?? undefined,
  refetchInterval: 15_000,
});

export async function signIn(username: string, password: string): Promise<Session> {
  return (await call('/session', { method: 'POST', body: { username, password } })) as Session;
}

export async function signOut(): Promise<void> {
  await call('/session', { method: 'DELETE' });
}
