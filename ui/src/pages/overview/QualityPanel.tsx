import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useMemo } from 'react';
import { latestQuery } from '~/api/queries';
import { ErrorNotice } from '~/components/ErrorNotice';
import { Panel } from '~/components/Page';
import { formatCount } from '~/format/number';
import { describeQuality } from '~/format/quality';
import { countQualities } from './worst';
import styles from './OverviewPage.module.css';

const MARKS = { bad: '✕', uncertain: '?', good: '' };
const COLORS = { bad: 'var(--tl-critical)', uncertain: 'var(--tl-medium)', good: undefined };

/** How many tags are good, and what is wrong with the others. */
export function QualityPanel() {
  const { data, error } = useQuery(latestQuery(''));
  const counts = useMemo(() => countQualities((data ?? []).map((value) => describeQuality(value.q))), [data]);
  return (
    <Panel title="Tags by quality" aside={<Link to="/values">Values</Link>}>
      {error && !data && <ErrorNotice error={error} />}
      <div className={styles.lines}>
        {data?.length === 0 && <span className="dim">No tag has a value yet.</span>}
        {counts.map(({ severity, reason, tags }) => (
          <span key={`${severity} ${reason}`} className={styles.line}>
            <strong style={{ color: COLORS[severity], width: 12 }} aria-hidden="true">
              {MARKS[severity]}
            </strong>
            <span className={severity === 'good' ? 'dim' : undefined}>{severity === 'good' ? 'good' : `${severity}, ${reason}`}</span>
            <span>{formatCount(tags)}</span>
          </span>
        ))}
      </div>
    </Panel>
  );
}
