import { useQuery } from '@tanstack/react-query';
import { siteQuery } from '~/api/queries';
import { zoneName } from '~/format/time';
import { usePreferences } from '~/settings/preferences';

/** Name of the time zone that the operator reads in. */
export function useZone(): string {
  const { zone } = usePreferences();
  const site = useQuery(siteQuery);
  return zoneName(zone, site.data?.timezone);
}
