import type { IconName } from '~/components/Icon';

export interface PageEntry {
  to: '/' | '/values' | '/trends' | '/events' | '/sources' | '/trust';
  label: string;
  icon: IconName;
  /** Further words that the search finds it by. */
  words: string;
}

/** Pages in the order of the rail. */
export const PAGES: readonly PageEntry[] = [
  { to: '/', label: 'Overview', icon: 'overview', words: 'home site start' },
  { to: '/values', label: 'Values', icon: 'values', words: 'tags live tree' },
  { to: '/trends', label: 'Trends', icon: 'trends', words: 'chart history graph' },
  { to: '/events', label: 'Events', icon: 'events', words: 'alarms log' },
  { to: '/sources', label: 'Sources', icon: 'sources', words: 'gateways devices buffer link roles' },
  { to: '/trust', label: 'Trust', icon: 'trust', words: 'ledger proof dead letters holes missing' },
];
