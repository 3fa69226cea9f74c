import { useMemo } from 'react';
import type { Counts, Hole, LedgerRow } from '~/api/types';
import { EmptyState } from '~/components/EmptyState';
import { PlainTable, type PlainColumn } from '~/components/PlainTable';
import { Priority } from '~/components/Priority';
import { useZone } from '~/components/useZone';
import { VirtualTable, type Column } from '~/components/VirtualTable';
import { formatCount } from '~/format/number';
import { formatHour } from '~/format/time';

const COUNTS: readonly [keyof Counts, string][] = [
  ['read', 'Read'], ['waiting', 'Waiting'], ['forwarded', 'Forwarded'], ['dropped', 'Dropped'], ['in_transit', 'In transit'], ['stored', 'Stored'],
  ['rejected', 'Rejected'], ['deduplicated', 'Dedup.'], ['repeats', 'Repeats'], ['missing', 'Missing'],
];

function columnsFor(zone: string): Column<LedgerRow>[] {
  return [
    { id: 'hour', header: 'Hour', width: '140px', cell: (row) => (row.hour_us === 0 ? 'impossible time' : formatHour(row.hour_us, zone)) },
    { id: 'gateway', header: 'Gateway', width: 'minmax(72px, 1fr)', cell: (row) => <span className="mono">{row.gateway}</span> },
    { id: 'source', header: 'Source', width: 'minmax(104px, 1.4fr)', cell: (row) => <span className="mono">{row.source}</span> },
    { id: 'category', header: 'Class', width: '76px', cell: (row) => <span className="dim">{row.category}</span> },
    ...COUNTS.map(
      ([key, header]): Column<LedgerRow> => ({
        id: key, header, width: '76px', align: 'right', cell: (row) => <span className={row[key] === 0 ? 'dim' : undefined}>{formatCount(row[key])}</span>,
      }),
    ),
    {
      id: 'balance', header: 'Balance', width: '96px',
      cell: (row) => (row.balanced ? <span className="dim">balanced</span> : <><Priority level="critical" bare /> does not</>),
    },
  ];
}

/** Newest hours first; rows that do not balance before all others. */
export function LedgerTable({ rows, filter }: { rows: readonly LedgerRow[]; filter: { gateway?: string; source?: string } }) {
  const zone = useZone();
  const columns = useMemo(() => columnsFor(zone), [zone]);
  const shown = useMemo(
    () =>
      rows
        .filter((row) => (filter.gateway ?? row.gateway) === row.gateway && (filter.source ?? row.source) === row.source)
        .toSorted((a, b) => Number(a.balanced) - Number(b.balanced) || b.hour_us - a.hour_us || a.source.localeCompare(b.source)),
    [rows, filter.gateway, filter.source],
  );
  if (shown.length === 0) {
    return (
      <EmptyState title="Nothing has been read yet">
        Here stands, for each gateway, source and hour, what was read and where it is now. It fills as soon as a source delivers; the same on the command line:{' '}
        <code>trunkline ledger</code>.
      </EmptyState>
    );
  }
  return <VirtualTable label="Ledger by source and hour" rows={shown} columns={columns} rowKey={(row) => `${row.gateway} ${row.source} ${row.category} ${row.hour_us}`} minWidth={1250} />;
}

const HOLE_COLUMNS: readonly PlainColumn<Hole>[] = [
  { id: 'gateway', header: 'Gateway', cell: (hole) => <span className="mono">{hole.gateway}</span> },
  { id: 'partition', header: 'Partition', align: 'right', cell: (hole) => hole.partition },
  { id: 'lo', header: 'First missing', align: 'right', cell: (hole) => formatCount(hole.lo) },
  { id: 'hi', header: 'Last missing', align: 'right', cell: (hole) => formatCount(hole.hi - 1) },
  { id: 'n', header: 'Readings', align: 'right', cell: (hole) => <strong>{formatCount(hole.hi - hole.lo)}</strong> },
  { id: 'rest', header: '', wide: true, cell: () => null },
];

export function Holes({ holes }: { holes: readonly Hole[] }) {
  if (holes.length === 0) {
    return (
      <EmptyState title="No holes">
        Every reading has a number from its gateway. A number that never arrived would stand here as a range, to be looked up with <code>trunkline ledger --json</code>.
      </EmptyState>
    );
  }
  return <PlainTable label="Holes" columns={HOLE_COLUMNS} rows={holes} rowKey={(hole) => `${hole.gateway} ${hole.partition} ${hole.lo}`} />;
}
