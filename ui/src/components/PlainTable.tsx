import type { ReactNode } from 'react';
import { cx } from './cx';
import styles from './Facts.module.css';

export interface PlainColumn<T> {
  id: string;
  header: string;
  align?: 'right';
  /** Takes what room is left and is cut when there is little. */
  wide?: boolean;
  cell: (row: T) => ReactNode;
}

interface Props<T> {
  label: string;
  columns: readonly PlainColumn<T>[];
  rows: readonly T[];
  rowKey: (row: T) => string;
  selected?: string | undefined;
}

/** A short table, drawn whole. */
export function PlainTable<T>({ label, columns, rows, rowKey, selected }: Props<T>) {
  const look = (column: PlainColumn<T>) => cx(column.align && styles.right, column.wide && styles.wide);
  return (
    <div className={styles.scroll}>
      <table className={styles.plain} aria-label={label}>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.id} scope="col" className={cx(column.align && styles.right)}>
                {column.header}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={rowKey(row)} className={cx(rowKey(row) === selected && styles.selected)}>
              {columns.map((column) => (
                <td key={column.id} className={look(column)}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
