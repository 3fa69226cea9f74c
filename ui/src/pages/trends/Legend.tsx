import { ActionIcon } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { Icon } from '~/components/Icon';
import { LiveCell } from '~/components/LiveCell';
import { formatCount, formatPercent, formatValue, UNKNOWN } from '~/format/number';
import { describeQuality } from '~/format/quality';
import { DASHES, scaleOf, type LineLook } from './plot';
import type { Locks } from './range';
import { readingAt, statisticsOf, type Series } from './series';
import styles from './TrendsPage.module.css';

export interface LegendLine extends LineLook {
  digits: number | undefined;
  series: Series | undefined;
  trouble: string;
}

interface Props {
  lines: readonly LegendLine[];
  /** Stretch that the statistics are of, ms. */
  from: number;
  to: number;
  /** What that stretch is: 'in view' or 'selected'. */
  stretch: string;
  cursor: number | null;
  locks: Locks;
  onLock: (scale: string, unit: string) => void;
  onRemove: (tag: string) => void;
}

function CursorCell({ line, cursor }: { line: LegendLine; cursor: number | null }) {
  const reading = cursor === null || !line.series ? undefined : readingAt(line.series, cursor);
  if (!reading) return <span className="dim">{UNKNOWN}</span>;
  const { mark, reason } = describeQuality(reading.q);
  return (
    <span title={reading.q === 0 ? undefined : reason}>
      {formatValue(reading.v, line.kind, line.digits)} {mark}
    </span>
  );
}

function Row({ line, index, props }: { line: LegendLine; index: number; props: Props }) {
  const { from, to, cursor, locks, onLock, onRemove } = props;
  const stats = line.series ? statisticsOf(line.series, from, to) : undefined;
  const number = (value: number | null | undefined) => formatValue(value, line.kind, line.digits);
  const mean = stats?.mean ?? null;
  const locked = line.unit in locks;
  return (
    <tr>
      <td>
        <span className={styles.name}>
          <svg className={styles.swatch} viewBox="0 0 26 10" aria-hidden="true">
            <line x1="0" y1="5" x2="26" y2="5" stroke={line.color} strokeWidth="2.5" strokeDasharray={(DASHES[index] ?? []).join(' ')} />
          </svg>
          <Link to="/values" search={{ under: line.tag.split('.').slice(0, -1).join('.'), tag: line.tag }} className="mono">
            {line.tag}
          </Link>
          {line.trouble !== '' && <span className="dim">{line.trouble}</span>}
        </span>
      </td>
      <td><LiveCell tag={line.tag} kind={line.kind} digits={line.digits} /></td>
      <td className={`${styles.left ?? ''} dim`}>{line.unit}</td>
      <td><CursorCell line={line} cursor={cursor} /></td>
      <td>{number(stats?.min)}</td>
      <td>{line.kind === 'boolean' && mean !== null ? `${formatPercent(100 * mean)} on` : formatValue(mean, 'double', line.digits)}</td>
      <td>{number(stats?.max)}</td>
      <td>{formatCount(stats?.n)}</td>
      <td>{formatPercent(stats?.goodPercent)}</td>
      <td>
        {line.kind !== 'boolean' && (
          <ActionIcon
            size="sm" variant="subtle" color="gray" aria-pressed={locked} onClick={() => onLock(scaleOf(line), line.unit)}
            aria-label={`${locked ? 'Unlock' : 'Lock'} the axis of ${line.unit || 'values without a unit'}`} title={locked ? 'Axis is locked: unlock it' : 'Lock this axis as it is'}
          >
            <Icon name={locked ? 'lock' : 'unlock'} size={14} />
          </ActionIcon>
        )}
        <ActionIcon size="sm" variant="subtle" color="gray" aria-label={`Remove ${line.tag} from the trend`} onClick={() => onRemove(line.tag)}>
          <Icon name="close" size={14} />
        </ActionIcon>
      </td>
    </tr>
  );
}

/** A line a tag: live value, value at the cursor, statistics of what is in view or selected. */
export function Legend(props: Props) {
  return (
    <div className={styles.legend}>
      <table className={styles.table} aria-label="Tags of the trend">
        <thead>
          <tr>
            <th scope="col">Tag</th>
            <th scope="col">Now</th>
            <th scope="col" className={styles.left}>Unit</th>
            <th scope="col">At cursor</th>
            <th scope="col">Min {props.stretch}</th>
            <th scope="col">Mean {props.stretch}</th>
            <th scope="col">Max {props.stretch}</th>
            <th scope="col">Readings</th>
            <th scope="col">Good</th>
            <th scope="col"><span className="hidden">Actions</span></th>
          </tr>
        </thead>
        <tbody>
          {props.lines.map((line, index) => (
            <Row key={line.tag} line={line} index={index} props={props} />
          ))}
        </tbody>
      </table>
    </div>
  );
}
