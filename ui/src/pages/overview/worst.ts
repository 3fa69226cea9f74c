import type { GatewayStatus, QualityCount, Severity, SourceStatus } from '~/api/types';
import { describeQuality } from '~/format/quality';

export interface WorstSource extends SourceStatus {
  gateway: string;
}

const RANK: Record<SourceStatus['state'], number> = { misconfigured: 0, backing_off: 1, stopped: 2, connecting: 3, waiting: 4, connected: 5 };

/** Sources that are not connected or have stale tags, the worst first. */
export function worstSources(gateways: readonly GatewayStatus[]): WorstSource[] {
  return gateways
    .flatMap(({ gateway, sources }) => sources.map((source) => ({ ...source, gateway })))
    .filter((source) => source.state !== 'connected' || source.stale_tags > 0)
    .toSorted((a, b) => RANK[a.state] - RANK[b.state] || b.stale_tags - a.stale_tags || a.id.localeCompare(b.id));
}

/** A line of the overview: what is said of so many tags. */
export interface QualityLine {
  severity: Severity;
  reason: string;
  tags: number;
}

const ORDER: Record<Severity, number> = { bad: 0, uncertain: 1, good: 2 };

/** Tags by quality: each bad and uncertain reason by itself, the good together. */
export function qualityLines(counts: readonly QualityCount[]): QualityLine[] {
  const lines = new Map<string, QualityLine>();
  for (const { q, tags } of counts) {
    const { severity, reason } = describeQuality(q);
    const words = severity === 'good' ? 'good' : reason;
    const key = `${severity} ${words}`;
    const line = lines.get(key) ?? { severity, reason: words, tags: 0 };
    lines.set(key, { ...line, tags: line.tags + tags });
  }
  return [...lines.values()].toSorted((a, b) => ORDER[a.severity] - ORDER[b.severity] || b.tags - a.tags);
}
