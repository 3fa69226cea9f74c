/** Shapes of the HTTP and WebSocket API, version 1. Times are microseconds since 1970 in UTC. */

export type Kind = 'double' | 'integer' | 'boolean' | 'text';
export type Value = number | boolean | string | null;
export type Severity = 'good' | 'uncertain' | 'bad';

export interface Session {
  username: string;
  role: string;
  expires_us: number;
}

export interface Site {
  site: string;
  title: string;
  timezone: string;
  version: string;
  now_us: number;
}

export type RoleState = 'running' | 'starting' | 'stopped' | 'failing';

export interface RoleStatus {
  role: string;
  pid: number | null;
  state: RoleState;
  since_us: number;
  restarts: number;
  rss_bytes: number | null;
}

export type SourceState = 'connecting' | 'connected' | 'backing_off' | 'misconfigured' | 'stopped';

export interface SourceStatus {
  id: string;
  type: string;
  state: SourceState;
  since_us: number;
  last_reading_us: number | null;
  readings_total: number;
  errors_total: number;
  readings_per_s: number;
  error: string | null;
  tags: number;
  stale_tags: number;
}

export interface GatewayStatus {
  gateway: string;
  at_us: number;
  sources: SourceStatus[];
  buffer: { waiting: number; bytes: number; oldest_waiting_us: number | null; max_bytes: number };
  link: { state: 'up' | 'down'; since_us: number; error: string | null };
}

export interface Status {
  roles: RoleStatus[];
  gateways: GatewayStatus[];
}

export interface Tag {
  tag: string;
  kind: Kind;
  unit: string;
  description: string;
  min: number | null;
  max: number | null;
  gateway: string;
  source: string;
}

export interface TagPage {
  tags: Tag[];
  next: string | null;
  total: number;
}

export interface TreeNode {
  name: string;
  path: string;
  branch: boolean;
  tags: number;
}

export interface Live {
  tag: string;
  v: Value;
  q: number;
  quality: string;
  reason: string;
  severity: Severity;
  t: number;
  gateway_t: number;
  big?: boolean;
}

export interface ChartHistory {
  tag: string;
  unit: string;
  kind: Kind;
  mode: 'chart';
  bucket_us: number;
  readings: number;
  good_percent: number | null;
  t: number[];
  n: number[];
  min: (number | null)[];
  max: (number | null)[];
  avg: (number | null)[];
  bad: number[];
}

export interface RawHistory {
  tag: string;
  unit: string;
  kind: Kind;
  mode: 'raw';
  t: number[];
  v: Value[];
  q: number[];
  truncated: boolean;
}

export type History = ChartHistory | RawHistory;

export interface EventRow {
  id: string;
  category: 'event' | 'alarm';
  type: string;
  time_us: number;
  asset: string;
  tag: string;
  source: string;
  gateway: string;
  text: string;
  severity: number | string | null;
  active: boolean | null;
  value: Value;
  threshold: number | null;
  unit: string | null;
  before: Value;
  after: Value;
  actor: string | null;
  attributes: Record<string, Value>;
}

export interface EventPage {
  events: EventRow[];
  next: string | null;
}

export interface DeadLetter {
  topic: string;
  partition: number;
  offset: number;
  time_us: number;
  reason: string;
  tag: string | null;
  gateway: string | null;
  source: string | null;
  value: Value;
}

export interface DeadLetterPage {
  rows: DeadLetter[];
  total: number;
  next: string | null;
}

export interface Counts {
  read: number;
  waiting: number;
  forwarded: number;
  dropped: number;
  stored: number;
  rejected: number;
  deduplicated: number;
  repeats: number;
  in_transit: number;
  missing: number;
}

export interface LedgerRow extends Counts {
  gateway: string;
  source: string;
  category: string;
  hour_us: number;
  balanced: boolean;
}

export interface Hole {
  gateway: string;
  partition: number;
  lo: number;
  hi: number;
}

export interface Ledger {
  balanced: boolean;
  at_us: number;
  proof: string;
  totals: Counts;
  rows: LedgerRow[];
  holes: Hole[];
}

export interface Problem {
  code: string;
  title: string;
  detail: string;
  mend?: string;
}

/** [tag, value, quality, source time, gateway time] */
export type LiveTuple = [tag: string, v: Value, q: number, t: number, gateway_t: number];

export type ServerFrame =
  | { type: 'values'; values: LiveTuple[] }
  | ({ type: 'status' } & Status)
  | { type: 'ledger'; balanced: boolean; totals: Counts; at_us?: number }
  | { type: 'error'; code: string; detail: string };
