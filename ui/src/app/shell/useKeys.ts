import { useEffect } from 'react';
import { live } from '~/live/live';
import { setPreferences } from '~/settings/preferences';

const TYPING = 'input, textarea, select, button, a, [role="menu"], [contenteditable="true"], dialog *';

/** Keys that work on every page: Ctrl-K and / search, space pauses live values, u/s/l switch the time zone. */
export function useKeys({ search }: { search: () => void }): void {
  useEffect(() => {
    const down = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
        event.preventDefault();
        search();
        return;
      }
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target instanceof Element && event.target.matches(TYPING)) return;
      if (event.key === ' ') live.setPaused(live.paused() === null);
      else if (event.key === '/') search();
      else if (event.key === 'u') setPreferences({ zone: 'utc' });
      else if (event.key === 's') setPreferences({ zone: 'site' });
      else if (event.key === 'l') setPreferences({ zone: 'local' });
      else return;
      event.preventDefault();
    };
    window.addEventListener('keydown', down);
    return () => window.removeEventListener('keydown', down);
  }, [search]);
}
