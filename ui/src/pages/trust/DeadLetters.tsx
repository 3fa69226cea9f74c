import { useInfiniteQuery } from '@tanstack/react-query';
import { useCallback, useMemo } from 'react';
import { deadLettersQuery } from '~/api/queries';
import type { DeadLetter } from '~/api/types';
import { EmptyState } from '~/components/EmptyState';
import { ErrorNotice } from '~/components/ErrorNotice';
import { useZone } from '~/components/useZone';
import { VirtualTable, type Column } from '~/components/VirtualTable';
import { formatValue, UNKNOWN } from '~/format/number';
import { formatTime } from '~/format/time';

function columnsFor(zone: string): Column<DeadLetter>[] {
  return [
    { id: 'time', header: 'Refused at', width: '160px', cell: (row) => formatTime(row.time_us, zone) },
    { id: 'reason', header: 'Reason', width: 'minmax(220px, 2fr)', cell: (row) => <span title={row.reason}>{row.reason}</span> },
    { id: 'tag', header: 'Tag', width: 'minmax(200px, 2fr)', cell: (row) => <span className="mono">{row.tag ?? UNKNOWN}</span> },
    { id: 'value', header: 'Value', width: '110px', align: 'right', cell: (row) => formatValue(row.value) },
    { id: 'source', header: 'Source', width: 'minmax(90px, 1fr)', cell: (row) => row.source ?? UNKNOWN },
    { id: 'gateway', header: 'Gateway', width: '100px', cell: (row) => row.gateway ?? UNKNOWN },
    { id: 'place', header: 'Position', width: '200px', cell: (row) => <span className="mono dim">{`${row.topic} ${row.partition}:${row.offset}`}</span> },
  ];
}

/** What validation refused, with the reason and the place of the original. */
export function DeadLetters() {
  const zone = useZone();
  const query = useInfiniteQuery(deadLettersQuery);
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = query;
  const rows = useMemo(() => query.data?.pages.flatMap((page) => page.rows) ?? [], [query.data]);
  const columns = useMemo(() => columnsFor(zone), [zone]);
  const more = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage]);
  if (query.error && !query.data) return <ErrorNotice error={query.error} retry={() => void query.refetch()} />;
  if (query.data && rows.length === 0) {
    return (
      <EmptyState title="No dead letters">
        Readings that can never be accepted (not a number, impossible time, wrong type) would stand here with the reason. After mending the cause they are sent again with{' '}
        <code>trunkline deadletter replay</code>.
      </EmptyState>
    );
  }
  return (
    <VirtualTable
      label="Dead letters" rows={rows} columns={columns} rowKey={(row) => `${row.topic} ${row.partition} ${row.offset}`} total={query.data?.pages[0]?.total ?? rows.length}
      minWidth={1000} onEnd={more}
    />
  );
}
