import type { LiveTuple, Value } from '~/api/types';

export interface LiveValue {
  v: Value;
  q: number;
  /** Source time and gateway time, µs. */
  t: number;
  gatewayTime: number;
}

type Listener = () => void;
type FrameListener = (values: readonly LiveTuple[]) => void;

/** Eyes follow at most four changes a second. */
const FLUSH_MS = 250;

/**
 * The newest value of each tag that something on the page shows.
 *
 * Frames arrive at the pace of the socket. Cells are told at most four times a second and not at all while paused; trends listen to
 * every frame with `onFrame`.
 */
export class LiveStore {
  private readonly shown = new Map<string, LiveValue>();
  private readonly pending = new Map<string, LiveValue>();
  private readonly listeners = new Map<string, Set<Listener>>();
  private readonly frameListeners = new Set<FrameListener>();
  private readonly stateListeners = new Set<Listener>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private lastFlush = 0;
  private pausedSince: number | null = null;
  private newest: number | null = null;

  accept(values: readonly LiveTuple[]): void {
    for (const [tag, v, q, t, gatewayTime] of values) {
      this.pending.set(tag, { v, q, t, gatewayTime });
      if (this.newest === null || gatewayTime > this.newest) this.newest = gatewayTime;
    }
    for (const listener of this.frameListeners) listener(values);
    this.schedule();
  }

  private schedule(): void {
    if (this.timer !== undefined || this.pausedSince !== null || this.pending.size === 0) return;
    const wait = Math.max(0, this.lastFlush + FLUSH_MS - Date.now());
    this.timer = setTimeout(() => this.flush(), wait);
  }

  private flush(): void {
    this.timer = undefined;
    this.lastFlush = Date.now();
    const changed = [...this.pending];
    this.pending.clear();
    for (const [tag, value] of changed) this.shown.set(tag, value);
    for (const [tag] of changed) {
      for (const listener of this.listeners.get(tag) ?? []) listener();
    }
  }

  get(tag: string): LiveValue | undefined {
    return this.shown.get(tag);
  }

  /** Gateway time of the newest value received, shown or not. */
  newestTime(): number | null {
    return this.newest;
  }

  subscribe(tag: string, listener: Listener): () => void {
    const set = this.listeners.get(tag) ?? new Set();
    this.listeners.set(tag, set.add(listener));
    return () => {
      set.delete(listener);
      if (set.size === 0) this.listeners.delete(tag);
    };
  }

  onFrame(listener: FrameListener): () => void {
    this.frameListeners.add(listener);
    return () => this.frameListeners.delete(listener);
  }

  /** Forget tags that nobody is subscribed to any more: an old value must not come back as if it were new. */
  forget(tags: readonly string[]): void {
    for (const tag of tags) {
      this.shown.delete(tag);
      this.pending.delete(tag);
    }
  }

  /** When the numbers were frozen, µs of this computer; null while they are live. */
  paused(): number | null {
    return this.pausedSince;
  }

  setPaused(paused: boolean): void {
    if (paused === (this.pausedSince !== null)) return;
    this.pausedSince = paused ? Date.now() * 1000 : null;
    if (paused) {
      clearTimeout(this.timer);
      this.timer = undefined;
    } else {
      this.schedule();
    }
    for (const listener of this.stateListeners) listener();
  }

  onPause(listener: Listener): () => void {
    this.stateListeners.add(listener);
    return () => this.stateListeners.delete(listener);
  }
}
