import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useMemo } from 'react';
import { qualityQuery } from '~/api/queries';
import { ErrorNotice } from '~/components/ErrorNotice';
import { Panel } from '~/components/Page';
import { formatCount } from '~/format/number';
import { qualityLines } from './worst';
import styles from './OverviewPage.module.css';

const MARKS = { bad: '✕', uncertain: '?', good: '' };
const COLORS = { bad: 'var(--tl-critical)', uncertain: 'var(--tl-medium)', good: undefined };

/** How many tags are good, and what is wrong with the others. */
export function QualityPanel() {
  const { data, error } = useQuery(qualityQuery(''));
  const lines = useMemo(() => qualityLines(data?.counts ?? []), [data]);
  return (
    <Panel title="Tags by quality" aside={<Link to="/values">Values</Link>}>
      {error && !data && <ErrorNotice error={error} />}
      <div className={styles.lines}>
        {data?.tags === 0 && <span className="dim">No tag has a value yet.</span>}
        {lines.map(({ severity, reason, tags }) => (
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
