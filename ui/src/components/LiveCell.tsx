import type { Kind } from '~/api/types';
import { formatValue, UNKNOWN } from '~/format/number';
import { describeQuality } from '~/format/quality';
import { formatAge, SECOND } from '~/format/time';
import { useNow } from '~/live/clock';
import { useLiveValue } from '~/live/live';
import type { LiveValue } from '~/live/store';
import { cx } from '~/components/cx';
import styles from './LiveCell.module.css';

interface ValueProps {
  value: LiveValue | undefined;
  kind: Kind;
  digits?: number | undefined;
}

/** A value with its quality: good is silent, uncertain dotted with ?, bad struck through with ✕, stale hatched, unknown a dash. */
export function ValueText({ value, kind, digits }: ValueProps) {
  if (!value) return <span className={cx(styles.value, styles.unknown)}>{UNKNOWN}</span>;
  const { severity, reason, stale, mark } = describeQuality(value.q);
  const classes = cx(styles.value, styles[severity], stale && styles.stale, value.v === null && styles.unknown);
  const title = value.q === 0 ? undefined : `${severity === 'good' ? 'Good' : severity === 'bad' ? 'Bad' : 'Uncertain'}: ${reason}`;
  return (
    <span className={classes} title={title}>
      <span className={value.v === null ? undefined : styles.number}>{formatValue(value.v, kind, digits)}</span>
      <span className={styles.mark} aria-hidden="true">
        {mark}
      </span>
      {title !== undefined && <span className="hidden">{title}</span>}
    </span>
  );
}

export function LiveCell({ tag, kind, digits }: { tag: string; kind: Kind; digits?: number | undefined }) {
  return <ValueText value={useLiveValue(tag)} kind={kind} digits={digits} />;
}

export function AgeText({ time }: { time: number | null | undefined }) {
  const now = useNow();
  const old = time !== null && time !== undefined && Math.abs(now - time) > 10 * SECOND;
  return <span className={cx(styles.age, old && styles.old)}>{formatAge(time, now)}</span>;
}

export function LiveAge({ tag }: { tag: string }) {
  return <AgeText time={useLiveValue(tag)?.t} />;
}

/** Reason of the quality in words; empty when good. */
export function LiveReason({ tag }: { tag: string }) {
  const value = useLiveValue(tag);
  if (!value || value.q === 0) return null;
  const { reason } = describeQuality(value.q);
  return (
    <span className={styles.reason} title={reason}>
      {reason}
    </span>
  );
}
