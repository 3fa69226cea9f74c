import { compact, oneOf, textOf } from '~/app/address';

type Raw = Record<string, unknown>;

/** What the address of each page may hold. */
export const valuesSearch = (raw: Raw) =>
  compact({ under: textOf(raw, 'under'), q: textOf(raw, 'q'), tag: textOf(raw, 'tag'), pick: textOf(raw, 'pick') });

export const trendsSearch = (raw: Raw) =>
  compact({
    tags: textOf(raw, 'tags'), from: textOf(raw, 'from'), to: textOf(raw, 'to'), span: textOf(raw, 'span'),
    live: oneOf(raw, 'live', ['0', '1'] as const), lock: textOf(raw, 'lock'),
  });

export const eventsSearch = (raw: Raw) =>
  compact({
    category: oneOf(raw, 'category', ['event', 'alarm']), under: textOf(raw, 'under'), q: textOf(raw, 'q'), from: textOf(raw, 'from'), to: textOf(raw, 'to'),
    span: oneOf(raw, 'span', ['1h', '1d', '7d', '30d'] as const),
  });

export const trustSearch = (raw: Raw) =>
  compact({ view: oneOf(raw, 'view', ['ledger', 'holes', 'deadletters']), gateway: textOf(raw, 'gateway'), source: textOf(raw, 'source') });

export const sourcesSearch = (raw: Raw) => compact({ source: textOf(raw, 'source') });

export const signInSearch = (raw: Raw) => compact({ next: textOf(raw, 'next') });
