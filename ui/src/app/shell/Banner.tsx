import { Button } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { liveErrorQuery } from '~/api/queries';
import { Priority } from '~/components/Priority';
import { useZone } from '~/components/useZone';
import { formatClock } from '~/format/time';
import { live, socket, useLink, usePaused } from '~/live/live';
import styles from './Shell.module.css';

/** Stands under the top bar only while what is shown is not live. */
export function Banner() {
  const link = useLink();
  const paused = usePaused();
  const zone = useZone();
  const { data: trouble } = useQuery(liveErrorQuery);
  if (link.state === 'lost') {
    const moment = link.lastFrame === null ? null : link.lastFrame * 1000;
    return (
      <div className={styles.banner} role="status">
        <Priority level="high" bare />
        <span>{moment === null ? 'Server unreachable, trying again' : `Server unreachable, showing data of ${formatClock(moment, zone)}`}</span>
        <Button size="compact-sm" variant="default" onClick={() => socket.retryNow()}>
          Try now
        </Button>
      </div>
    );
  }
  if (paused !== null) {
    return (
      <div className={styles.banner} role="status">
        <Priority level="medium" bare />
        <span>Live values paused at {formatClock(paused, zone)}. Space resumes.</span>
        <Button size="compact-sm" variant="default" onClick={() => live.setPaused(false)}>
          Resume
        </Button>
      </div>
    );
  }
  if (trouble) {
    return (
      <div className={styles.banner} role="status">
        <Priority level="high" bare />
        <span>
          {trouble.detail} <code className="dim">{trouble.code}</code>
        </span>
      </div>
    );
  }
  return null;
}
