import { Link } from '@tanstack/react-router';
import type { EventRow } from '~/api/types';
import { formatPlain } from '~/format/number';
import { formatTime } from '~/format/time';
import { levelOf, Priority } from './Priority';
import type { Column } from './VirtualTable';

/** What an alarm measured against its limit, or what a change of state was from and to. */
export function detailOf({ category, value, threshold, unit, before, after }: EventRow): string {
  if (category === 'alarm' && value !== null) {
    const limit = threshold === null ? '' : ` (limit ${formatPlain(threshold)})`;
    return `${formatPlain(value)}${unit === '' ? '' : ` ${unit}`}${limit}`;
  }
  return before === null && after === null ? '' : `${formatPlain(before)} → ${formatPlain(after)}`;
}

function Detail({ row }: { row: EventRow }) {
  const text = detailOf(row);
  return <span title={text}>{text}</span>;
}

export function EventPriority({ row }: { row: EventRow }) {
  const level = levelOf(row.severity);
  return level ? <Priority level={level} active={row.active !== false} word /> : null;
}

/** Columns of events and raw alarms, newest first. */
export function eventColumns(zone: string): Column<EventRow>[] {
  return [
    { id: 'time', header: 'Time', width: '156px', cell: (row) => formatTime(row.time_us, zone) },
    { id: 'priority', header: 'Priority', width: '100px', cell: (row) => <EventPriority row={row} /> },
    { id: 'state', header: 'State', width: '64px', cell: (row) => <span className="dim">{row.active === null ? '' : row.active ? 'came' : 'went'}</span> },
    { id: 'text', header: 'What happened', width: 'minmax(240px, 2fr)', cell: (row) => <span title={row.text}>{row.text === '' ? row.type : row.text}</span> },
    { id: 'detail', header: 'Value', width: '200px', align: 'right', cell: (row) => <Detail row={row} /> },
    {
      id: 'where', header: 'Where', width: 'minmax(244px, 1fr)',
      cell: (row) => {
        const path = [row.asset, row.tag].filter(Boolean).join('.');
        if (path === '') return <span className="dim">{row.source || row.gateway}</span>;
        return (
          <Link to="/values" search={{ under: row.asset, ...(row.tag !== '' && { tag: path }) }} className="mono tail" title={path} tabIndex={-1}>
            {path}
          </Link>
        );
      },
    },
    { id: 'type', header: 'Type', width: 'minmax(124px, 0.6fr)', cell: (row) => <span className="dim" title={row.type}>{row.type}</span> },
    { id: 'actor', header: 'By', width: '80px', cell: (row) => row.actor },
  ];
}
