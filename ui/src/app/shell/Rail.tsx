import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { siteQuery } from '~/api/queries';
import { PAGES } from '~/app/pages';
import { Icon } from '~/components/Icon';
import styles from './Shell.module.css';

export function Rail() {
  const { data: site } = useQuery(siteQuery);
  return (
    <nav className={styles.rail} aria-label="Pages">
      {PAGES.map(({ to, label, icon }) => (
        <Link key={to} to={to} className={styles.link} activeOptions={{ exact: to === '/', includeSearch: false }} title={label}>
          <Icon name={icon} size={18} />
          <span>{label}</span>
        </Link>
      ))}
      {site && <div className={styles.version}>Trunkline {site.version}</div>}
    </nav>
  );
}
