import { Button } from '@mantine/core';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { deadLettersQuery, ledgerQuery, proofQuery } from '~/api/queries';
import type { Ledger } from '~/api/types';
import { ErrorNotice } from '~/components/ErrorNotice';
import { Page, Panel } from '~/components/Page';
import { Priority } from '~/components/Priority';
import { useZone } from '~/components/useZone';
import { formatCount } from '~/format/number';
import { formatAge, formatTime } from '~/format/time';
import { useNow } from '~/live/clock';
import { DeadLetters } from './DeadLetters';
import { Flow } from './Flow';
import { Holes, LedgerTable } from './LedgerTable';
import styles from './TrustPage.module.css';

function Proof({ balanced, at, proof }: { balanced: boolean; at: number; proof: string }) {
  const now = useNow();
  const zone = useZone();
  return (
    <div className={styles.proof} role="status" data-testid="proof">
      <strong>
        {!balanced && <Priority level="critical" bare />}
        {balanced ? 'Ledger balanced' : 'Ledger does not balance'}
      </strong>
      <span>
        proven {formatAge(at, now)} ago, {formatTime(at, zone)}
      </span>
      <span className="dim">{proof}</span>
    </div>
  );
}

const VIEWS = [
  { view: 'ledger', label: 'By source and hour' },
  { view: 'holes', label: 'Holes' },
  { view: 'deadletters', label: 'Dead letters' },
] as const;

type ViewName = (typeof VIEWS)[number]['view'];

function Tabs({ view, counts, onView }: { view: ViewName; counts: Partial<Record<ViewName, number>>; onView: (view: ViewName) => void }) {
  return (
    <div className={styles.tabs} role="tablist" aria-label="Details of the ledger">
      {VIEWS.map((one) => {
        const count = counts[one.view];
        return (
          <Button key={one.view} role="tab" aria-selected={one.view === view} size="compact-sm" variant={one.view === view ? 'light' : 'default'} onClick={() => onView(one.view)}>
            {one.label}
            {count !== undefined && ` (${formatCount(count)})`}
          </Button>
        );
      })}
    </div>
  );
}

function Body({ view, ledger, filter }: { view: ViewName; ledger: Ledger | undefined; filter: { gateway?: string; source?: string } }) {
  if (view === 'deadletters') return <DeadLetters />;
  if (!ledger) return null;
  return view === 'holes' ? <Holes holes={ledger.holes} /> : <LedgerTable rows={ledger.rows} filter={filter} />;
}

/** Proof that nothing was lost: the balance, where each reading is, and what was refused. */
export function TrustPage() {
  const search = useSearch({ from: '/shell/trust' });
  const navigate = useNavigate({ from: '/trust' });
  const { data: ledger, error, refetch } = useQuery(ledgerQuery());
  const { data: live } = useQuery(proofQuery);
  const dead = useInfiniteQuery(deadLettersQuery);
  const view = search.view ?? 'ledger';
  // The live connection proves more often than the whole table is asked for.
  const newest = live && ledger && live.at_us > ledger.at_us ? live : ledger;
  const counts = { ...(ledger && { holes: ledger.holes.length }), ...(dead.data && { deadletters: dead.data.pages[0]?.total ?? 0 }) };
  return (
    <Page title="Trust" fill>
      {error && <ErrorNotice error={error} retry={() => void refetch()} />}
      {newest && ledger && (
        <Panel title="Ledger">
          <div style={{ display: 'grid', gap: 12 }}>
            <Proof balanced={newest.balanced} at={newest.at_us} proof={newest.proof} />
            <Flow totals={newest.totals} />
          </div>
        </Panel>
      )}
      <Tabs view={view} counts={counts} onView={(next) => void navigate({ search: (old) => ({ ...old, view: next }) })} />
      <div className={styles.body} role="tabpanel" aria-label={VIEWS.find((one) => one.view === view)?.label}>
        <Body view={view} ledger={ledger} filter={search} />
      </div>
    </Page>
  );
}
