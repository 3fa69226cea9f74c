/** Shapes of the HTTP and WebSocket API, version 1. Times are microseconds since 1970 in UTC. */
import type { components } from './schemas';

type Schemas = components['schemas'];

export type Session = Schemas['SessionInfo'];
export type Site = Schemas['SiteInfo'];
export type RoleStatus = Schemas['RoleInfo'];
export type RoleState = RoleStatus['state'];
export type SourceStatus = Schemas['SourceInfo'];
export type SourceState = SourceStatus['state'];
export type GatewayStatus = Schemas['GatewayInfo'];
export type Status = Schemas['StatusInfo'];
export type Kafka = Schemas['KafkaInfo'];
export type KafkaDisk = Schemas['KafkaDiskInfo'];
export type KafkaTopic = Schemas['KafkaTopicInfo'];
export type Tag = Schemas['TagInfo'];
export type Kind = Tag['kind'];
export type TagPage = Schemas['TagPage'];
export type TreeNode = Schemas['TreeNode'];
export type Value = Schemas['LiveInfo']['v'];
export type QualityCount = Schemas['QualityCount'];
export type QualityCounts = Schemas['QualityCounts'];
export type Severity = QualityCount['severity'];
export type ChartHistory = Schemas['Chart'];
export type RawHistory = Schemas['Raw'];
export type History = ChartHistory | RawHistory;
export type EventRow = Schemas['EventInfo'];
export type EventPage = Schemas['EventPage'];
export type DeadLetter = Schemas['DeadLetterInfo'];
export type DeadLetterPage = Schemas['DeadLetterPage'];
export type Counts = Schemas['LedgerCounts'];
export type LedgerRow = Schemas['LedgerRow'];
export type Hole = Schemas['LedgerHole'];
export type Ledger = Schemas['Ledger'];
export type Problem = Schemas['ProblemDetails'];

/** Balance as last proven: the ledger without its rows. */
export type Proof = Pick<Ledger, 'balanced' | 'at_us' | 'proof' | 'totals'>;

/** [tag, value, quality, source time, gateway time] */
export type LiveTuple = [tag: string, v: Value, q: number, t: number, gateway_t: number];

/** What the WebSocket sends; the OpenAPI document does not cover it. */
export type ServerFrame =
  | { type: 'values'; values: LiveTuple[] }
  | ({ type: 'status' } & Status)
  | ({ type: 'ledger' } & Proof)
  | { type: 'error'; code: string; detail: string };

export type ErrorFrame = Extract<ServerFrame, { type: 'error' }>;
