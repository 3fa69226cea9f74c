import { formatSpan } from '~/format/time';
import { useNow } from '~/live/clock';

/** How long something has been so. */
export function Since({ us }: { us: number }) {
  const now = useNow();
  return <span className="dim">{formatSpan(Math.max(0, now - us))}</span>;
}
