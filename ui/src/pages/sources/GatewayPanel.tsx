import type { GatewayStatus, SourceStatus } from '~/api/types';
import { AgeText } from '~/components/LiveCell';
import { Panel } from '~/components/Page';
import { PlainTable, type PlainColumn } from '~/components/PlainTable';
import { Priority } from '~/components/Priority';
import { StateText } from '~/components/StateText';
import { formatBytes, formatCount, formatPercent, formatRate, UNKNOWN } from '~/format/number';
import { formatAge } from '~/format/time';
import { useNow } from '~/live/clock';
import { Since } from './Since';
import styles from './SourcesPage.module.css';

const SOURCE_COLUMNS: readonly PlainColumn<SourceStatus>[] = [
  { id: 'id', header: 'Source', cell: (row) => <span className="mono">{row.id}</span> },
  { id: 'type', header: 'Protocol', cell: (row) => <span className="dim">{row.type}</span> },
  { id: 'state', header: 'State', cell: (row) => <StateText state={row.state} /> },
  { id: 'since', header: 'For', align: 'right', cell: (row) => <Since us={row.since_us} /> },
  { id: 'last', header: 'Last reading', align: 'right', cell: (row) => <AgeText time={row.last_reading_us} /> },
  { id: 'rate', header: 'Readings/s', align: 'right', cell: (row) => formatRate(row.readings_per_s) },
  { id: 'total', header: 'Readings', align: 'right', cell: (row) => formatCount(row.readings_total) },
  { id: 'errors', header: 'Errors', align: 'right', cell: (row) => formatCount(row.errors_total) },
  { id: 'tags', header: 'Tags', align: 'right', cell: (row) => formatCount(row.tags) },
  { id: 'stale', header: 'Stale', align: 'right', cell: (row) => (row.stale_tags > 0 ? <strong>{formatCount(row.stale_tags)}</strong> : <span className="dim">0</span>) },
  { id: 'error', header: 'Trouble', wide: true, cell: (row) => <span className={styles.error} title={row.error ?? undefined}>{row.error ?? ''}</span> },
];

/** A gateway with its sources, its buffer and its link, and what there is to warn of. */
export function GatewayPanel({ gateway, source }: { gateway: GatewayStatus; source: string | undefined }) {
  const now = useNow();
  const { buffer, link } = gateway;
  const used = buffer.max_bytes > 0 ? (100 * (buffer.disk_bytes || buffer.bytes)) / buffer.max_bytes : null;
  return (
    <Panel title={`Gateway ${gateway.gateway}`} aside={<span className="dim">reported {formatAge(gateway.at_us, now)} ago</span>} flush>
      <div className={styles.strip}>
        <span>
          Link to the site log <StateText state={link.state} /> <Since us={link.since_us} /> {link.error}
        </span>
        <span>
          <span className="dim">Buffer</span> {formatCount(buffer.waiting)} waiting, {formatBytes(buffer.disk_bytes || buffer.bytes)} of {formatBytes(buffer.max_bytes)} ({formatPercent(used)})
        </span>
        <span title="time until the site log acknowledged the newest appends: 50th, 95th and 99th percentile">
          <span className="dim">Append</span> {link.append_ms.length > 0 ? `${link.append_ms.map(formatRate).join(' / ')} ms` : UNKNOWN}
        </span>
        <span>
          <span className="dim">Oldest waiting</span> {buffer.oldest_waiting_us === null ? UNKNOWN : formatAge(buffer.oldest_waiting_us, now)}
        </span>
        {gateway.problems.map((problem) => (
          <span key={problem} className={styles.problem}>
            <Priority level={buffer.disk_full ? 'high' : 'medium'} bare /> <strong>{problem}</strong>
          </span>
        ))}
      </div>
      <PlainTable label={`Sources of ${gateway.gateway}`} columns={SOURCE_COLUMNS} rows={gateway.sources} rowKey={(row) => row.id} selected={source} />
    </Panel>
  );
}
