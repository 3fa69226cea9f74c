import { useEffect, useSyncExternalStore } from 'react';
import { queryClient } from '~/api/client';
import { BASE } from '~/api/http';
import { keys } from '~/api/queries';
import type { Proof, ServerFrame, Status } from '~/api/types';
import { LiveSocket, type Link, type Wire, type WireEvents } from './socket';
import { LiveStore, type LiveValue } from './store';

export const live = new LiveStore();

function open(events: WireEvents): Wire {
  const url = new URL(`${BASE}/live`, location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  const wire = new WebSocket(url);
  wire.onopen = () => events.opened();
  wire.onclose = ({ code }) => events.closed(code);
  wire.onmessage = ({ data }) => {
    if (typeof data === 'string') events.message(data);
  };
  return wire;
}

function onFrame(frame: ServerFrame): void {
  switch (frame.type) {
    case 'values':
      live.accept(frame.values);
      break;
    case 'status': {
      const status: Status = { roles: frame.roles, gateways: frame.gateways, kafka: frame.kafka };
      queryClient.setQueryData(keys.status, status);
      break;
    }
    case 'ledger':
      queryClient.setQueryData(keys.proof, { balanced: frame.balanced, totals: frame.totals, at_us: frame.at_us, proof: frame.proof } satisfies Proof);
      // The ledger is balanced against the historian: that it came tells that the historian is back.
      queryClient.setQueryData(keys.liveError, null);
      break;
    case 'error':
      queryClient.setQueryData(keys.liveError, frame);
      break;
  }
}

export const socket = new LiveSocket({
  open,
  onFrame,
  onRefused: () => void queryClient.invalidateQueries({ queryKey: keys.session }),
  onForget: (tags) => live.forget(tags),
});

/** Keep the connection while somebody is signed in; returns what ends it. */
export function startLive(): () => void {
  socket.start();
  const retry = () => socket.retryNow();
  window.addEventListener('online', retry);
  return () => {
    window.removeEventListener('online', retry);
    socket.stop();
  };
}

const subscribeLink = (listener: () => void) => socket.onChange(listener);
const readLink = () => socket.current();

/** State of the connection to the server. */
export function useLink(): Link {
  return useSyncExternalStore(subscribeLink, readLink);
}

const subscribePause = (listener: () => void) => live.onPause(listener);
const readPause = () => live.paused();

/** When the operator froze the numbers (µs), or null. */
export function usePaused(): number | null {
  return useSyncExternalStore(subscribePause, readPause);
}

/** Newest value of a tag, at most four times a second; undefined until the server has sent one. Ask for the tag with `useWanted`. */
export function useLiveValue(tag: string): LiveValue | undefined {
  return useSyncExternalStore(
    (listener) => live.subscribe(tag, listener),
    () => live.get(tag),
  );
}

/** Have the server send these tags while the component is on the page. */
export function useWanted(tags: readonly string[]): void {
  const key = tags.join(',');
  useEffect(() => (key === '' ? undefined : socket.want(key.split(','))), [key]);
}
