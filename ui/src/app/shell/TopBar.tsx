import { useQuery } from '@tanstack/react-query';
import { siteQuery, statusQuery } from '~/api/queries';
import type { Status } from '~/api/types';
import { Icon } from '~/components/Icon';
import { Priority } from '~/components/Priority';
import { useZone } from '~/components/useZone';
import { formatAge, formatClock, zoneLabel, type ZoneChoice } from '~/format/time';
import { useNow } from '~/live/clock';
import { live, useLink } from '~/live/live';
import { setPreferences, usePreferences } from '~/settings/preferences';
import { UserMenu } from './UserMenu';
import { cx } from '~/components/cx';
import styles from './Shell.module.css';

const NEXT: Record<ZoneChoice, ZoneChoice> = { site: 'utc', utc: 'local', local: 'site' };

function newestReading(status: Status | undefined): number | null {
  const times = (status?.gateways ?? []).flatMap((gateway) => gateway.sources.map((source) => source.last_reading_us ?? 0));
  const newest = Math.max(live.newestTime() ?? 0, ...times);
  return newest > 0 ? newest : null;
}

function LinkText() {
  const link = useLink();
  const now = useNow();
  const { data: status } = useQuery(statusQuery);
  const newest = newestReading(status);
  const age = newest === null ? 'no data yet' : `data ${formatAge(newest, now)} old`;
  return (
    <div className={styles.state} data-testid="link-state" data-state={link.state}>
      {link.state === 'lost' && <Priority level="high" bare />}
      {link.state === 'open' && <span>Live, {age}</span>}
      {link.state === 'connecting' && <span>Connecting</span>}
      {link.state === 'lost' && <strong>No link, {age}</strong>}
    </div>
  );
}

function Clock() {
  const { zone: choice } = usePreferences();
  const zone = useZone();
  const now = useNow();
  const names: Record<ZoneChoice, string> = { site: 'site time', utc: 'UTC', local: 'local time' };
  const label = `Times in ${names[choice]} (${zone}). Switch to ${names[NEXT[choice]]}; keys: s site, u UTC, l local.`;
  return (
    <button type="button" className={styles.clock} title={label} aria-label={label} onClick={() => setPreferences({ zone: NEXT[choice] })}>
      <span>{formatClock(now, zone)}</span>
      <span className="dim">
        {zoneLabel(zone, now)}
        {choice === 'utc' ? '' : ` ${choice}`}
      </span>
    </button>
  );
}

export function TopBar({ onSearch }: { onSearch: () => void }) {
  const { data: site } = useQuery(siteQuery);
  return (
    <header className={styles.top}>
      <div className={styles.site}>
        <strong>{site?.site ?? 'Trunkline'}</strong>
        <span className={cx('dim', styles.title)}>{site?.title}</span>
      </div>
      <div className={styles.spring} />
      <button type="button" className={styles.find} onClick={onSearch} aria-label="Search tags and pages">
        <Icon name="search" size={14} />
        <span>Search</span>
        <kbd>Ctrl K</kbd>
      </button>
      <LinkText />
      <Clock />
      <UserMenu />
    </header>
  );
}
