import { useQuery } from '@tanstack/react-query';
import { useSearch } from '@tanstack/react-router';
import { statusQuery } from '~/api/queries';
import type { GatewayStatus, RoleStatus, SourceStatus } from '~/api/types';
import { EmptyState } from '~/components/EmptyState';
import { ErrorNotice } from '~/components/ErrorNotice';
import { AgeText } from '~/components/LiveCell';
import { Page, Panel } from '~/components/Page';
import { PlainTable, type PlainColumn } from '~/components/PlainTable';
import { StateText } from '~/components/StateText';
import { formatBytes, formatCount, formatPercent, formatRate, UNKNOWN } from '~/format/number';
import { formatAge, formatSpan } from '~/format/time';
import { useNow } from '~/live/clock';
import { KafkaPanel } from './KafkaPanel';
import styles from './SourcesPage.module.css';

function Since({ us }: { us: number }) {
  const now = useNow();
  return <span className="dim">{formatSpan(Math.max(0, now - us))}</span>;
}

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

const ROLE_COLUMNS: readonly PlainColumn<RoleStatus>[] = [
  { id: 'role', header: 'Role', cell: (row) => <span className="mono">{row.role}</span> },
  { id: 'state', header: 'State', cell: (row) => <StateText state={row.state} /> },
  { id: 'since', header: 'For', align: 'right', cell: (row) => <Since us={row.since_us} /> },
  { id: 'restarts', header: 'Restarts', align: 'right', cell: (row) => (row.restarts > 0 ? <strong>{formatCount(row.restarts)}</strong> : <span className="dim">0</span>) },
  { id: 'memory', header: 'Memory', align: 'right', cell: (row) => formatBytes(row.rss_bytes) },
  { id: 'pid', header: 'Process', align: 'right', cell: (row) => <span className="dim">{row.pid ?? UNKNOWN}</span> },
  { id: 'rest', header: '', wide: true, cell: () => null },
];

function Gateway({ gateway, source }: { gateway: GatewayStatus; source: string | undefined }) {
  const now = useNow();
  const { buffer, link } = gateway;
  const used = buffer.max_bytes > 0 ? (100 * buffer.bytes) / buffer.max_bytes : null;
  return (
    <Panel title={`Gateway ${gateway.gateway}`} aside={<span className="dim">reported {formatAge(gateway.at_us, now)} ago</span>} flush>
      <div className={styles.strip}>
        <span>
          Link to the site log <StateText state={link.state} /> <Since us={link.since_us} /> {link.error}
        </span>
        <span>
          <span className="dim">Buffer</span> {formatCount(buffer.waiting)} waiting, {formatBytes(buffer.bytes)} of {formatBytes(buffer.max_bytes)} ({formatPercent(used)})
        </span>
        <span title="time until the site log acknowledged the newest appends: 50th, 95th and 99th percentile">
          <span className="dim">Append</span> {link.append_ms.length > 0 ? `${link.append_ms.map(formatRate).join(' / ')} ms` : UNKNOWN}
        </span>
        <span>
          <span className="dim">Oldest waiting</span> {buffer.oldest_waiting_us === null ? UNKNOWN : formatAge(buffer.oldest_waiting_us, now)}
        </span>
      </div>
      <PlainTable label={`Sources of ${gateway.gateway}`} columns={SOURCE_COLUMNS} rows={gateway.sources} rowKey={(row) => row.id} selected={source} />
    </Panel>
  );
}

export function SourcesPage() {
  const { source } = useSearch({ from: '/shell/sources' });
  const { data, error, refetch } = useQuery(statusQuery);
  return (
    <Page title="Sources">
      {error && !data && <ErrorNotice error={error} retry={() => void refetch()} />}
      <div className={styles.stack}>
        {data?.gateways.map((gateway) => <Gateway key={gateway.gateway} gateway={gateway} source={source} />)}
        {data?.gateways.length === 0 && (
          <EmptyState title="No gateway has reported yet">
            Here stand the gateways, each source with its state, rate and last reading, and the buffer that holds readings while the link is down. Add a source to the site
            file and start it with <code>trunkline up site.yaml</code>; <code>trunkline doctor</code> says what is missing.
          </EmptyState>
        )}
        {data?.kafka && <KafkaPanel kafka={data.kafka} />}
        {data && data.roles.length > 0 && (
          <Panel title="Role processes" flush>
            <PlainTable label="Role processes" columns={ROLE_COLUMNS} rows={data.roles} rowKey={(row) => `${row.role} ${row.pid ?? ''}`} />
          </Panel>
        )}
      </div>
    </Page>
  );
}
