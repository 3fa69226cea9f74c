import { useNavigate, useSearch } from '@tanstack/react-router';
import { useCallback, useEffect, useMemo, useState } from 'react';
import { serverNow } from '~/live/clock';
import { usePaused } from '~/live/live';
import { searchOf, viewOf, type RangeSearch, type View } from './range';

/** Now, renewed often enough that a live view moves by about a pixel; still while `running` is false. */
function useMovingNow(running: boolean, stepMs: number): number {
  const [now, setNow] = useState(serverNow);
  useEffect(() => {
    if (!running) return undefined;
    const timer = setInterval(() => setNow(serverNow()), stepMs);
    return () => clearInterval(timer);
  }, [running, stepMs]);
  return now;
}

interface Draft {
  view: View;
  /** The address it started from; a new address (a link, Back) makes the draft void. */
  base: string;
}

/**
 * The view lives in the address. While the operator zooms and pans it is a draft, written to the address when the hand rests, so that
 * the history of the browser holds the places where one stopped.
 */
export function useView(width: number): { view: View; change: (next: (view: View, now: number) => View) => void; show: (view: View) => void } {
  const search = useSearch({ from: '/shell/trends' });
  const navigate = useNavigate({ from: '/trends' });
  const paused = usePaused() !== null;
  const { from, to, span, live }: RangeSearch = search;
  const base = [from, to, span, live].join(' ');
  const [draft, setDraft] = useState<Draft | null>(null);
  const current = draft?.base === base ? draft.view : null;

  const [first] = useState(serverNow);
  const still = useMemo(() => viewOf({ from, to, span, live }, first), [from, to, span, live, first]);
  const shown = current ?? still;
  const length = shown.to - shown.from;
  const now = useMovingNow(shown.live && !paused, Math.min(2000, Math.max(250, length / 1000 / Math.max(1, width))));
  const view = useMemo(() => (shown.live ? { from: now - length, to: now, live: true } : shown), [shown, now, length]);

  const change = useCallback((next: (view: View, now: number) => View) => {
    setDraft((old) => {
      const start = old?.base === base ? old.view : still;
      const moment = serverNow();
      return { base, view: next(start.live ? { from: moment - (start.to - start.from), to: moment, live: true } : start, moment) };
    });
  }, [base, still]);

  const show = useCallback((next: View) => void navigate({ search: (old) => ({ ...old, ...searchOf(next) }) }), [navigate]);

  useEffect(() => {
    if (!current) return undefined;
    const timer = setTimeout(() => void navigate({ search: (old) => ({ ...old, ...searchOf(current) }), replace: true }), 400);
    return () => clearTimeout(timer);
  }, [current, navigate]);

  return { view, change, show };
}
