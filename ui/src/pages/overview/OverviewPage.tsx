import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { eventsQuery, proofQuery, siteQuery, statusQuery } from '~/api/queries';
import type { EventRow } from '~/api/types';
import { ErrorNotice } from '~/components/ErrorNotice';
import { EventPriority } from '~/components/eventColumns';
import { Page, Panel } from '~/components/Page';
import { Priority } from '~/components/Priority';
import { levelOfState, StateText } from '~/components/StateText';
import { useZone } from '~/components/useZone';
import { formatBytes, formatCount } from '~/format/number';
import { formatAge, formatTime } from '~/format/time';
import { useNow } from '~/live/clock';
import { QualityPanel } from './QualityPanel';
import { worstSources } from './worst';
import styles from './OverviewPage.module.css';

function ProofPanel() {
  const { data, error } = useQuery(proofQuery);
  const now = useNow();
  return (
    <Panel title="Trust" aside={<Link to="/trust">Ledger</Link>}>
      {error && !data && <ErrorNotice error={error} />}
      {data && (
        <div className={styles.lines}>
          <span className={styles.head} data-testid="proof">
            {!data.balanced && <Priority level="critical" bare />}
            {data.balanced ? 'Ledger balanced' : 'Ledger does not balance'}, {formatAge(data.at_us, now)} ago
          </span>
          {([['Read', data.totals.read], ['Stored', data.totals.stored], ['Rejected', data.totals.rejected], ['Missing', data.totals.missing]] as const).map(([name, count]) => (
            <span key={name} className={styles.line}>
              <span className="dim">{name}</span>
              <span>{formatCount(count)}</span>
            </span>
          ))}
        </div>
      )}
    </Panel>
  );
}

function LinkPanel() {
  const { data } = useQuery(statusQuery);
  const now = useNow();
  return (
    <Panel title="Gateways and processes" aside={<Link to="/sources">Sources</Link>}>
      <div className={styles.lines}>
        {data?.gateways.map((gateway) => (
          <span key={gateway.gateway} className={styles.line}>
            <span className="mono">{gateway.gateway}</span>
            <span className="dim">link</span> <StateText state={gateway.link.state} />
            <span>
              {formatCount(gateway.buffer.waiting)} waiting, {formatBytes(gateway.buffer.bytes)} <span className="dim">{formatAge(gateway.at_us, now)} ago</span>
            </span>
          </span>
        ))}
        {data?.gateways.length === 0 && <span className="dim">No gateway has reported yet.</span>}
        {data?.roles.map((role) => (
          <span key={`${role.role}${role.pid ?? ''}`} className={styles.line}>
            <span className="mono">{role.role}</span>
            <StateText state={role.state} />
            <span className="dim">{role.restarts === 0 ? 'no restart' : `${formatCount(role.restarts)} ${role.restarts === 1 ? 'restart' : 'restarts'}`}</span>
          </span>
        ))}
      </div>
    </Panel>
  );
}

function SourcesPanel() {
  const { data } = useQuery(statusQuery);
  const now = useNow();
  const worst = worstSources(data?.gateways ?? []);
  const total = (data?.gateways ?? []).reduce((sum, gateway) => sum + gateway.sources.length, 0);
  return (
    <Panel title="Sources that need a look" aside={<span className="dim">{formatCount(worst.length)} of {formatCount(total)}</span>}>
      <div className={styles.lines}>
        {worst.length === 0 && <span className="dim">{total === 0 ? 'No source is configured.' : 'None.'}</span>}
        {worst.slice(0, 6).map((source) => (
          <div key={`${source.gateway} ${source.id}`}>
            <span className={styles.line}>
              <Link to="/sources" search={{ source: source.id }} className="mono">
                {source.id}
              </Link>
              {levelOfState(source.state) ? <StateText state={source.state} /> : <span>{formatCount(source.stale_tags)} stale tags</span>}
              <span className="dim">last reading {formatAge(source.last_reading_us, now)}</span>
            </span>
            {source.error !== null && <div className="dim">{source.error}</div>}
          </div>
        ))}
      </div>
    </Panel>
  );
}

function AlarmRow({ row, zone }: { row: EventRow; zone: string }) {
  return (
    <div className={styles.event}>
      <span className="dim">{formatTime(row.time_us, zone)}</span>
      <EventPriority row={row} />
      <span title={row.text}>{row.text}</span>
      <span className="mono dim">{[row.asset, row.tag].filter(Boolean).join('.')}</span>
    </div>
  );
}

function AlarmsPanel() {
  const zone = useZone();
  const { data, error } = useInfiniteQuery({ ...eventsQuery({ category: 'alarm' }, 8), refetchInterval: 5000 });
  const rows = data?.pages[0]?.events ?? [];
  return (
    <Panel title="Latest alarms" aside={<Link to="/events" search={{ category: 'alarm' }}>All alarms</Link>} flush>
      {error && !data && <ErrorNotice error={error} />}
      <div className={styles.strip}>
        {rows.map((row) => <AlarmRow key={row.id} row={row} zone={zone} />)}
        {data && rows.length === 0 && <div className={styles.event}><span className="dim">No alarm yet.</span></div>}
      </div>
    </Panel>
  );
}

/** The site at a glance: what needs a look, when the data was last proven, what alarmed last. */
export function OverviewPage() {
  const { data: site } = useQuery(siteQuery);
  return (
    <Page title={site?.title === undefined || site.title === '' ? 'Overview' : site.title}>
      <div className={styles.grid}>
        <SourcesPanel />
        <QualityPanel />
        <ProofPanel />
        <LinkPanel />
      </div>
      <AlarmsPanel />
    </Page>
  );
}
