import type { ReactNode } from 'react';
import styles from './EmptyState.module.css';

/** Says what would stand here and the one thing that fills it. */
export function EmptyState({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div className={styles.empty} data-testid="empty">
      <h2>{title}</h2>
      <div>{children}</div>
    </div>
  );
}
