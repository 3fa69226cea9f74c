import { Button } from '@mantine/core';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useCallback, useMemo } from 'react';
import { eventsQuery, fetchEvents, type EventFilter } from '~/api/queries';
import { EmptyState } from '~/components/EmptyState';
import { ErrorNotice } from '~/components/ErrorNotice';
import { eventColumns } from '~/components/eventColumns';
import { Select } from '~/components/Field';
import { Page } from '~/components/Page';
import { SearchField } from '~/components/SearchField';
import { useDelayed } from '~/components/useDelayed';
import { useZone } from '~/components/useZone';
import { VirtualTable } from '~/components/VirtualTable';
import { formatCount } from '~/format/number';
import { parseSpan, parseTime } from '~/format/time';
import { eventsSearch } from '../search';
import styles from './EventsPage.module.css';

const CATEGORIES = [
  { value: undefined, label: 'All' },
  { value: 'alarm', label: 'Alarms' },
  { value: 'event', label: 'Events' },
] as const;
const SPANS = [['1h', 'Last hour'], ['1d', 'Last 24 hours'], ['7d', 'Last 7 days'], ['30d', 'Last 30 days']] as const;
const MOST_NEW = 200;

/** How many came since the newest row on the screen; asked now and then, so that rows never jump under the reader. */
function useNews(filter: EventFilter, newest: string | undefined) {
  return useQuery({
    queryKey: ['events-new', filter, newest],
    queryFn: async ({ signal }) => {
      const { events } = await fetchEvents(filter, MOST_NEW, '', signal);
      const index = events.findIndex((event) => event.id === newest);
      return index === -1 ? events.length : index;
    },
    refetchInterval: 5000,
    enabled: filter.to === undefined,
  });
}

export function EventsPage() {
  const search = useSearch({ from: '/shell/events' });
  const navigate = useNavigate({ from: '/events' });
  const zone = useZone();
  const words = useDelayed(search.q ?? '', 200);
  const filter = useMemo(
    (): EventFilter => ({
      category: search.category, under: search.under, search: words, from: parseTime(search.from ?? ''), to: parseTime(search.to ?? ''), span: parseSpan(search.span ?? '1d'),
    }),
    [search.category, search.under, search.from, search.to, search.span, words],
  );
  const query = useInfiniteQuery({ ...eventsQuery(filter), staleTime: Infinity });
  const rows = useMemo(() => query.data?.pages.flatMap((page) => page.events) ?? [], [query.data]);
  const news = useNews(filter, rows[0]?.id);
  const columns = useMemo(() => eventColumns(zone), [zone]);
  const change = useCallback((next: Partial<typeof search>) => void navigate({ search: (old) => ({ ...old, ...next }), replace: true }), [navigate]);
  const setWords = useCallback((q: string) => change({ q }), [change]);
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = query;
  const more = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage]);

  const tools = (
    <>
      <div className={styles.group} role="group" aria-label="Class">
        {CATEGORIES.map(({ value, label }) => (
          <Button
            key={label} size="compact-sm" variant={search.category === value ? 'light' : 'default'} aria-pressed={search.category === value}
            onClick={() => void navigate({ search: (old) => eventsSearch({ ...old, category: value }) })}
          >
            {label}
          </Button>
        ))}
      </div>
      <Select label="How far back" value={search.span ?? '1d'} choices={SPANS} onChange={(span) => change({ span, from: '', to: '' })} />
      <SearchField className={styles.search} label="Search events" value={search.q ?? ''} onChange={setWords} />
      {search.under !== undefined && (
        <Button size="compact-sm" variant="default" onClick={() => change({ under: '' })}>
          Under {search.under} ✕
        </Button>
      )}
    </>
  );
  return (
    <Page title="Events" tools={tools} fill>
      {query.error && <ErrorNotice error={query.error} retry={() => void query.refetch()} />}
      {news.data !== undefined && news.data > 0 && query.data && (
        <Button className={styles.news ?? ''} size="compact-sm" variant="light" onClick={() => void query.refetch()}>
          {news.data >= MOST_NEW ? `${MOST_NEW} or more` : formatCount(news.data)} new
        </Button>
      )}
      {query.data && rows.length === 0 ? (
        <EmptyState title={words !== '' || search.category || search.under ? 'Nothing matches' : 'Nothing happened in this time'}>
          Here stand changes of state, alarms as they came and went, and what the platform itself has to tell: sources down, buffers full, clocks wrong. On the command line:{' '}
          <code>trunkline status</code>.
        </EmptyState>
      ) : (
        <VirtualTable label="Events" rows={rows} columns={columns} rowKey={(row) => row.id} minWidth={1210} onEnd={more} />
      )}
    </Page>
  );
}
