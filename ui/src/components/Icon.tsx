const PATHS = {
  overview: 'M3 3h7v7H3zM14 3h7v4h-7zM14 11h7v10h-7zM3 14h7v7H3z',
  values: 'M4 6h3M4 12h3M4 18h3M10 6h10M10 12h10M10 18h10',
  trends: 'M3 3v18h18M6 15l4-5 4 3 6-8',
  events: 'M8 5h12M8 12h12M8 19h12M3.5 5h.01M3.5 12h.01M3.5 19h.01',
  sources: 'M9 3v5M15 3v5M6 8h12v3a6 6 0 0 1-12 0zM12 17v4',
  trust: 'M12 4v16M7 20h10M5 7h14M5 7l-3 7h6zM19 7l-3 7h6z',
  search: 'M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5 21 21',
  pause: 'M8 5v14M16 5v14',
  play: 'M7 4l13 8-13 8z',
  download: 'M12 3v12M7 11l5 5 5-5M4 20h16',
  user: 'M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM4 21c0-4 3.5-6 8-6s8 2 8 6',
  chevron: 'M9 5l7 7-7 7',
  close: 'M5 5l14 14M19 5 5 19',
  copy: 'M8 8h12v12H8zM4 16V4h12',
  clock: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7v5l4 2',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.5 1.5M17.5 17.5 19 19M5 19l1.5-1.5M17.5 6.5 19 5',
  plus: 'M12 5v14M5 12h14',
  minus: 'M5 12h14',
  reset: 'M4 4v6h6M4.5 10a8 8 0 1 1-.5 5',
  lock: 'M6 11h12v9H6zM9 11V7a3 3 0 0 1 6 0v4',
  unlock: 'M6 11h12v9H6zM9 11V7a3 3 0 0 1 5.8-1',
  left: 'M15 5l-7 7 7 7',
} as const;

export type IconName = keyof typeof PATHS;

/** A line icon in the colour of the text; decoration only, the words beside it or the button's label carry the meaning. */
export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="1.8" strokeLinecap="round" strokeLinejoin="round" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
