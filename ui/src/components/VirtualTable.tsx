import { useVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useId, useRef, useState, type KeyboardEvent, type ReactNode } from 'react';
import { usePreferences } from '~/settings/preferences';
import { cx } from '~/components/cx';
import styles from './VirtualTable.module.css';

export interface Column<T> {
  id: string;
  header: ReactNode;
  /** A CSS grid track: '96px', 'minmax(160px, 2fr)'. */
  width: string;
  align?: 'right';
  cell: (row: T) => ReactNode;
}

interface Props<T> {
  label: string;
  rows: readonly T[];
  columns: readonly Column<T>[];
  rowKey: (row: T) => string;
  /** Rows in all, when not all are loaded. */
  total?: number;
  minWidth?: number;
  selected?: string | undefined;
  /** Enter or a click on the row. */
  onOpen?: (row: T) => void;
  /** Any other key while a row is active; true when it was used. */
  onKey?: (row: T, key: string) => boolean;
  /** The last rows came into sight. */
  onEnd?: () => void;
  /** First and last index in sight. */
  onRange?: (first: number, last: number) => void;
}

const HEIGHTS = { comfortable: 32, compact: 24 };
const STEPS: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20, Home: -Infinity, End: Infinity };

/** A table that draws only the rows in sight; arrows move, Enter opens. Rows keep their place while values change. */
export function VirtualTable<T>(props: Props<T>) {
  const { label, rows, columns, rowKey, total = rows.length, minWidth = 0, selected, onOpen, onKey, onEnd, onRange } = props;
  const { density } = usePreferences();
  const height = HEIGHTS[density];
  const scroll = useRef<HTMLDivElement>(null);
  const id = useId();
  const [active, setActive] = useState(0);
  // eslint-disable-next-line react-hooks/incompatible-library -- its rows must not be memoised, and are not
  const virtual = useVirtualizer({
    count: rows.length, getScrollElement: () => scroll.current, estimateSize: () => height, overscan: 8, scrollPaddingStart: height,
  });
  const items = virtual.getVirtualItems();
  const first = items[0]?.index ?? 0;
  const last = items.at(-1)?.index ?? -1;
  const template = columns.map((column) => column.width).join(' ');

  useEffect(() => virtual.measure(), [virtual, height]);
  useEffect(() => onRange?.(first, last), [onRange, first, last]);
  useEffect(() => {
    if (last >= rows.length - 20) onEnd?.();
  }, [last, rows.length, onEnd]);

  const keyDown = (event: KeyboardEvent) => {
    const row = rows[active];
    if (event.target !== scroll.current || !row) return;
    const step = STEPS[event.key];
    if (step !== undefined) {
      const next = Math.min(rows.length - 1, Math.max(0, active + step));
      setActive(next);
      virtual.scrollToIndex(next);
    } else if (event.key === 'Enter') onOpen?.(row);
    else if (!onKey?.(row, event.key)) return;
    event.preventDefault();
  };

  return (
    <div className={styles.frame}>
      <div
        ref={scroll} className={styles.scroll} role="grid" aria-label={label} aria-rowcount={total + 1} aria-colcount={columns.length} tabIndex={0}
        aria-activedescendant={rows.length > 0 ? `${id}-${active}` : undefined} onKeyDown={keyDown}
      >
        <div className={styles.head} role="row" aria-rowindex={1} style={{ gridTemplateColumns: template, minWidth }}>
          {columns.map((column) => (
            <div key={column.id} role="columnheader" className={cx(styles.cell, column.align && styles.right)}>
              {column.header}
            </div>
          ))}
        </div>
        <div className={styles.body} role="rowgroup" style={{ height: virtual.getTotalSize(), minWidth }}>
          {items.map((item) => {
            const row = rows[item.index];
            if (row === undefined) return null;
            const key = rowKey(row);
            const classes = cx(styles.row, onOpen && styles.open, item.index === active && styles.active, key === selected && styles.selected);
            return (
              <div
                key={key} id={`${id}-${item.index}`} role="row" aria-rowindex={item.index + 2} aria-selected={key === selected} className={classes}
                style={{ transform: `translateY(${item.start}px)`, gridTemplateColumns: template }}
                onClick={() => { setActive(item.index); onOpen?.(row); }}
              >
                {columns.map((column) => (
                  <div key={column.id} role="gridcell" className={cx(styles.cell, column.align && styles.right)}>
                    {column.cell(row)}
                  </div>
                ))}
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}
