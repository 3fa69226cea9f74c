import { useEffect, type ReactNode } from 'react';
import { cx } from '~/components/cx';
import styles from './Page.module.css';

interface PageProps {
  title: string;
  /** Controls beside the title. */
  tools?: ReactNode;
  /** The page fills the window and scrolls inside its parts. */
  fill?: boolean;
  children: ReactNode;
}

export function Page({ title, tools, fill = false, children }: PageProps) {
  useEffect(() => {
    document.title = `${title} · Trunkline`;
  }, [title]);
  return (
    <main className={cx(styles.page, fill && styles.fill)} id="content">
      <div className={styles.head}>
        <h1>{title}</h1>
        {tools !== undefined && <div className={styles.tools}>{tools}</div>}
      </div>
      {children}
    </main>
  );
}

interface PanelProps {
  title: string;
  aside?: ReactNode;
  flush?: boolean;
  children: ReactNode;
}

export function Panel({ title, aside, flush = false, children }: PanelProps) {
  return (
    <section className={styles.panel} aria-label={title}>
      <div className={styles.panelHead}>
        <h2>{title}</h2>
        {aside !== undefined && <div>{aside}</div>}
      </div>
      <div className={flush ? styles.flush : styles.panelBody}>{children}</div>
    </section>
  );
}
