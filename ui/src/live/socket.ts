import type { ServerFrame } from '~/api/types';

export type LinkState = 'connecting' | 'open' | 'lost';

export interface Link {
  state: LinkState;
  /** When this state began, ms of this computer. */
  since: number;
  /** When the last frame came, ms of this computer; null before the first. */
  lastFrame: number | null;
}

/** What the client needs of a connection: the browser's WebSocket, or a test's. */
export interface Wire {
  send(text: string): void;
  close(): void;
}

export interface WireEvents {
  opened(): void;
  closed(code: number): void;
  message(text: string): void;
}

interface Options {
  open: (events: WireEvents) => Wire;
  onFrame: (frame: ServerFrame) => void;
  onRefused: () => void;
  onForget: (tags: string[]) => void;
}

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10_000;
/** The server sends its status every two seconds; silence this long is a dead connection that the browser has not noticed. */
const SILENCE_MS = 12_000;
/** A row that scrolls out and in again keeps its subscription. */
const RELEASE_MS = 3_000;
const POLICY_VIOLATION = 1008;
const UNAUTHENTICATED = 4401;

/** One connection for everything live on the page: counts who needs which tag, reconnects, asks again for all of them. */
export class LiveSocket {
  private wire: Wire | null = null;
  private link: Link = { state: 'connecting', since: Date.now(), lastFrame: null };
  private attempts = 0;
  private stopped = true;
  private readonly wanted = new Map<string, number>();
  private readonly asked = new Set<string>();
  private readonly listeners = new Set<() => void>();
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private silenceTimer: ReturnType<typeof setTimeout> | undefined;
  private syncTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly options: Options) {}

  start(): void {
    if (!this.stopped) return;
    this.stopped = false;
    this.attempts = 0;
    this.setState('connecting');
    this.connect();
  }

  stop(): void {
    this.stopped = true;
    for (const timer of [this.retryTimer, this.silenceTimer, this.syncTimer]) clearTimeout(timer);
    this.syncTimer = undefined;
    this.drop();
  }

  /** Want these tags until the function returned is called. */
  want(tags: readonly string[]): () => void {
    for (const tag of tags) this.wanted.set(tag, (this.wanted.get(tag) ?? 0) + 1);
    this.sync(0);
    let released = false;
    return () => {
      if (released) return;
      released = true;
      for (const tag of tags) this.wanted.set(tag, (this.wanted.get(tag) ?? 1) - 1);
      this.sync(RELEASE_MS);
    };
  }

  current(): Link {
    return this.link;
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Try at once instead of waiting for the back-off, for example when the browser comes online. */
  retryNow(): void {
    if (this.stopped || this.wire) return;
    clearTimeout(this.retryTimer);
    this.connect();
  }

  private connect(): void {
    // A connection that was given up may still report; only the present one is heard.
    const mine = (act: () => void) => {
      if (this.wire === wire) act();
    };
    const wire = this.options.open({
      opened: () => mine(() => this.opened()),
      closed: (code) => mine(() => this.lost(code)),
      message: (text) =>
        mine(() => {
          this.heard();
          this.options.onFrame(JSON.parse(text) as ServerFrame);
        }),
    });
    this.wire = wire;
  }

  private opened(): void {
    this.attempts = 0;
    this.asked.clear();
    this.setState('open');
    this.heard();
    this.send();
  }

  private heard(): void {
    this.link = { ...this.link, lastFrame: Date.now() };
    clearTimeout(this.silenceTimer);
    this.silenceTimer = setTimeout(() => {
      this.drop();
      this.lost(0);
    }, SILENCE_MS);
  }

  private drop(): void {
    const wire = this.wire;
    this.wire = null;
    wire?.close();
  }

  private lost(code: number): void {
    this.wire = null;
    clearTimeout(this.silenceTimer);
    if (this.stopped) return;
    this.setState('lost');
    if (code === UNAUTHENTICATED || code === POLICY_VIOLATION) this.options.onRefused();
    const ceiling = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.attempts);
    this.attempts += 1;
    // Jitter keeps a control room full of screens from knocking in step when the server comes back.
    this.retryTimer = setTimeout(() => this.connect(), ceiling * (0.5 + Math.random() / 2));
  }

  private setState(state: LinkState): void {
    if (state !== this.link.state) this.link = { ...this.link, state, since: Date.now() };
    for (const listener of this.listeners) listener();
  }

  private sync(wait: number): void {
    if (this.syncTimer !== undefined && wait > 0) return;
    clearTimeout(this.syncTimer);
    this.syncTimer = setTimeout(() => {
      this.syncTimer = undefined;
      this.send();
    }, wait);
  }

  private send(): void {
    const gone = [...this.wanted].filter(([, count]) => count <= 0).map(([tag]) => tag);
    for (const tag of gone) this.wanted.delete(tag);
    if (gone.length > 0) this.options.onForget(gone);
    if (this.link.state !== 'open' || !this.wire) return;
    const added = [...this.wanted.keys()].filter((tag) => !this.asked.has(tag));
    const removed = gone.filter((tag) => this.asked.has(tag));
    if (removed.length > 0) this.wire.send(JSON.stringify({ op: 'unsubscribe', tags: removed }));
    if (added.length > 0) this.wire.send(JSON.stringify({ op: 'subscribe', tags: added }));
    for (const tag of removed) this.asked.delete(tag);
    for (const tag of added) this.asked.add(tag);
  }
}
