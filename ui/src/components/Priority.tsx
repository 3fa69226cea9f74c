import { cx } from './cx';
import styles from './Priority.module.css';

export type PriorityLevel = 'critical' | 'high' | 'medium' | 'low';

const SHAPES: Record<PriorityLevel, { path: string; letter: string }> = {
  critical: { path: 'M8 1 15 8 8 15 1 8z', letter: 'C' },
  high: { path: 'M8 2 15 14H1z', letter: 'H' },
  medium: { path: 'M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13z', letter: 'M' },
  low: { path: 'M8 14 1 2h14z', letter: 'L' },
};

const LEVELS: readonly PriorityLevel[] = ['low', 'medium', 'high', 'critical'];

/** Level of a severity as the API writes it: 1 LOW to 4 CRITICAL. */
export function levelOf(severity: number | null): PriorityLevel | undefined {
  return severity === null ? undefined : LEVELS[severity - 1];
}

interface Props {
  level: PriorityLevel;
  /** False when the condition has gone: the shape stays, hollow. */
  active?: boolean;
  /** Only the shape; the words stand beside it. */
  bare?: boolean;
  word?: boolean;
}

/** Alarm priority: colour, shape and letter together, so that none is needed alone. */
export function Priority({ level, active = true, bare = false, word = false }: Props) {
  const { path, letter } = SHAPES[level];
  return (
    <span className={cx(styles.priority, styles[level], !active && styles.gone)}>
      <svg className={styles.mark} viewBox="0 0 16 16" aria-hidden="true">
        <path d={path} fill="currentColor" />
      </svg>
      {!bare && (
        <span className={styles.letter} aria-hidden="true">
          {letter}
        </span>
      )}
      {word ? <span className={styles.word}>{level}</span> : !bare && <span className="hidden">{level}</span>}
    </span>
  );
}
