import type { Counts } from '~/api/types';
import { cx } from '~/components/cx';
import { Icon } from '~/components/Icon';
import { Priority, type PriorityLevel } from '~/components/Priority';
import { formatCount } from '~/format/number';
import styles from './TrustPage.module.css';

interface CountProps {
  label: string;
  value: number;
  help: string;
  /** How bad it is when it is not zero. */
  level?: PriorityLevel;
}

function Count({ label, value, help, level }: CountProps) {
  return (
    <div className={cx(styles.count, value === 0 && styles.zero)} title={help}>
      <span>{label}</span>
      <span>
        {level && value !== 0 && <Priority level={level} bare />}
        {formatCount(value)}
      </span>
    </div>
  );
}

function Arrow() {
  return (
    <span className={styles.arrow} aria-hidden="true">
      <Icon name="chevron" />
    </span>
  );
}

/** Where every reading is: read = waiting + forwarded (+ dropped); forwarded = stored + rejected + deduplicated + in transit + missing. */
export function Flow({ totals }: { totals: Counts }) {
  return (
    <div className={styles.flow} aria-label="Where the readings are">
      <div className={styles.stage}>
        <Count label="Read" value={totals.read} help="Readings that the gateways journaled" />
      </div>
      <Arrow />
      <div className={styles.stage}>
        <Count label="Forwarded" value={totals.forwarded} help="Sent to the site log and acknowledged by it" />
        <Count label="Waiting" value={totals.waiting} help="Safe in a gateway's buffer, not forwarded yet" />
        <Count label="Dropped" value={totals.dropped} level="high" help="Deleted by a buffer's overflow policy; each drop is an event with its range" />
      </div>
      <Arrow />
      <div className={styles.stage}>
        <Count label="Stored" value={totals.stored} help="In the historian" />
        <Count label="In transit" value={totals.in_transit} help="In the site log, on the way to the historian" />
        <Count label="Rejected" value={totals.rejected} level="medium" help="In the dead letters, with the reason" />
        <Count label="Deduplicated" value={totals.deduplicated} help="Sent twice and stored once" />
        {totals.surplus !== 0 && <Count label="Surplus" value={totals.surplus} level="critical" help="Settled more often than read" />}
        <Count label="Missing" value={totals.missing} level="critical" help="Forwarded, and nowhere to be found" />
      </div>
    </div>
  );
}
