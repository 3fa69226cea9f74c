import { useQuery } from '@tanstack/react-query';
import { useSearch } from '@tanstack/react-router';
import { statusQuery } from '~/api/queries';
import type { RoleStatus } from '~/api/types';
import { EmptyState } from '~/components/EmptyState';
import { ErrorNotice } from '~/components/ErrorNotice';
import { Page, Panel } from '~/components/Page';
import { PlainTable, type PlainColumn } from '~/components/PlainTable';
import { StateText } from '~/components/StateText';
import { formatBytes, formatCount, UNKNOWN } from '~/format/number';
import { GatewayPanel } from './GatewayPanel';
import { KafkaPanel } from './KafkaPanel';
import { Since } from './Since';
import styles from './SourcesPage.module.css';

const ROLE_COLUMNS: readonly PlainColumn<RoleStatus>[] = [
  { id: 'role', header: 'Role', cell: (row) => <span className="mono">{row.role}</span> },
  { id: 'state', header: 'State', cell: (row) => <StateText state={row.state} /> },
  { id: 'since', header: 'For', align: 'right', cell: (row) => <Since us={row.since_us} /> },
  { id: 'restarts', header: 'Restarts', align: 'right', cell: (row) => (row.restarts > 0 ? <strong>{formatCount(row.restarts)}</strong> : <span className="dim">0</span>) },
  { id: 'memory', header: 'Memory', align: 'right', cell: (row) => formatBytes(row.rss_bytes) },
  { id: 'pid', header: 'Process', align: 'right', cell: (row) => <span className="dim">{row.pid ?? UNKNOWN}</span> },
  { id: 'rest', header: '', wide: true, cell: () => null },
];

export function SourcesPage() {
  const { source } = useSearch({ from: '/shell/sources' });
  const { data, error, refetch } = useQuery(statusQuery);
  return (
    <Page title="Sources">
      {error && !data && <ErrorNotice error={error} retry={() => void refetch()} />}
      <div className={styles.stack}>
        {data?.gateways.map((gateway) => <GatewayPanel key={gateway.gateway} gateway={gateway} source={source} />)}
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
