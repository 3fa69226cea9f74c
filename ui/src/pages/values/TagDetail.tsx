import { ActionIcon, Button } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import type { Tag } from '~/api/types';
import { Icon } from '~/components/Icon';
import { AgeText, ValueText } from '~/components/LiveCell';
import { useZone } from '~/components/useZone';
import { digitsOf, formatValue, UNKNOWN } from '~/format/number';
import { describeQuality } from '~/format/quality';
import { formatExact, formatSpan } from '~/format/time';
import { useLiveValue, useWanted } from '~/live/live';
import styles from './ValuesPage.module.css';

/** One tag in full: from the number down to the source, and up to its area. */
export function TagDetail({ tag, onClose }: { tag: Tag; onClose: () => void }) {
  useWanted([tag.tag]);
  const value = useLiveValue(tag.tag);
  const zone = useZone();
  const digits = digitsOf(tag.min, tag.max);
  const quality = value && describeQuality(value.q);
  const asset = tag.tag.split('.').slice(0, -1).join('.');
  const range = tag.min === null || tag.max === null ? UNKNOWN : `${formatValue(tag.min, tag.kind, 0)} to ${formatValue(tag.max, tag.kind, 0)} ${tag.unit}`;
  const facts: [string, ReactNode][] = [
    ['Quality', quality ? `${quality.reason} (${quality.name})` : UNKNOWN],
    ['Age', <AgeText key="age" time={value?.t} />],
    ['Measured', formatExact(value?.t, zone)],
    ['Read', formatExact(value?.gatewayTime, zone)],
    ['Device to gateway', value ? formatSpan(value.gatewayTime - value.t) : UNKNOWN],
    ['Kind', tag.kind],
    ['Range', range],
    ['Asset', <Link key="asset" to="/values" search={{ under: asset }}>{asset}</Link>],
    ['Source', <Link key="source" to="/sources" search={{ source: tag.source }}>{tag.source}</Link>],
    ['Gateway', tag.gateway],
  ];
  return (
    <aside className={styles.detail} aria-label={`Details of ${tag.tag}`}>
      <div className={styles.detailHead}>
        <div>
          <strong className="mono">{tag.tag}</strong>
          <div className="dim">{tag.description}</div>
        </div>
        <ActionIcon variant="subtle" color="gray" size="sm" aria-label="Close the details" onClick={onClose}>
          <Icon name="close" size={14} />
        </ActionIcon>
      </div>
      <div>
        <span className={styles.big}>
          <ValueText value={value} kind={tag.kind} digits={digits} />
        </span>{' '}
        <span className="dim">{tag.unit}</span>
      </div>
      {tag.kind !== 'text' && (
        <Button size="compact-sm" variant="default" renderRoot={(props) => <Link {...props} to="/trends" search={{ tags: tag.tag, span: '15m', live: '1' }} />}>
          Trend
        </Button>
      )}
      <dl className={styles.facts}>
        {facts.map(([name, fact]) => (
          <div key={name} style={{ display: 'contents' }}>
            <dt>{name}</dt>
            <dd>{fact}</dd>
          </div>
        ))}
      </dl>
    </aside>
  );
}
