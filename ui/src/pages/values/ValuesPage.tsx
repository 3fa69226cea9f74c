import { Button } from '@mantine/core';
import { useInfiniteQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useCallback, useMemo, useState } from 'react';
import { tagsQuery } from '~/api/queries';
import type { Tag } from '~/api/types';
import { listOf } from '~/app/address';
import { cx } from '~/components/cx';
import { EmptyState } from '~/components/EmptyState';
import { ErrorNotice } from '~/components/ErrorNotice';
import { LiveAge, LiveCell, LiveReason } from '~/components/LiveCell';
import { Page } from '~/components/Page';
import { SearchField } from '~/components/SearchField';
import { ancestry, TagTree } from '~/components/TagTree';
import { useDelayed } from '~/components/useDelayed';
import { VirtualTable, type Column } from '~/components/VirtualTable';
import { digitsOf, formatCount } from '~/format/number';
import { useWanted } from '~/live/live';
import { TagDetail } from './TagDetail';
import styles from './ValuesPage.module.css';

const MOST_PICKED = 8;

function columnsFor(under: string, picked: ReadonlySet<string>, toggle: (tag: string) => void): Column<Tag>[] {
  const cut = under === '' ? 0 : under.length + 1;
  return [
    {
      id: 'pick', header: <span className="hidden">Trend</span>, width: '32px',
      cell: (row) => (
        <input
          type="checkbox" className={styles.check} aria-label={`Pick ${row.tag} for the trend`} checked={picked.has(row.tag)} tabIndex={-1}
          disabled={row.kind === 'text' || (picked.size >= MOST_PICKED && !picked.has(row.tag))}
          onClick={(event) => event.stopPropagation()} onChange={() => toggle(row.tag)}
        />
      ),
    },
    {
      id: 'tag', header: 'Tag', width: 'minmax(220px, 3fr)',
      cell: (row) => (
        <span className={styles.tag} title={`${row.tag}: ${row.description}`}>
          <span className="mono">
            <bdi>{row.tag.slice(cut)}</bdi>
          </span>
          <span>{row.description}</span>
        </span>
      ),
    },
    { id: 'value', header: 'Value', width: '128px', align: 'right', cell: (row) => <LiveCell tag={row.tag} kind={row.kind} digits={digitsOf(row.min, row.max)} /> },
    { id: 'unit', header: 'Unit', width: '64px', cell: (row) => <span className="dim">{row.unit}</span> },
    { id: 'quality', header: 'Quality', width: 'minmax(80px, 1fr)', cell: (row) => <LiveReason tag={row.tag} /> },
    { id: 'age', header: 'Age', width: '72px', align: 'right', cell: (row) => <LiveAge tag={row.tag} /> },
    {
      id: 'source', header: 'Source', width: 'minmax(90px, 120px)',
      cell: (row) => (
        <Link to="/sources" search={{ source: row.source }} onClick={(event) => event.stopPropagation()} tabIndex={-1}>
          {row.source}
        </Link>
      ),
    },
  ];
}

export function ValuesPage() {
  const search = useSearch({ from: '/shell/values' });
  const navigate = useNavigate({ from: '/values' });
  const under = search.under ?? '';
  const words = useDelayed(search.q ?? '', 200);
  const query = useInfiniteQuery(tagsQuery(under, words));
  const rows = useMemo(() => query.data?.pages.flatMap((page) => page.tags) ?? [], [query.data]);
  const total = query.data?.pages[0]?.total ?? 0;
  const picked = useMemo(() => new Set(listOf(search.pick)), [search.pick]);
  const [range, setRange] = useState<[number, number]>([0, -1]);
  useWanted(rows.slice(range[0], range[1] + 1).map((row) => row.tag));

  const change = useCallback((next: Partial<typeof search>, replace = true) => void navigate({ search: (old) => ({ ...old, ...next }), replace }), [navigate]);
  const toggle = useCallback((tag: string) => {
    const next = new Set(picked);
    if (!next.delete(tag)) next.add(tag);
    change({ pick: [...next].slice(0, MOST_PICKED).join(',') });
  }, [picked, change]);
  const columns = useMemo(() => columnsFor(under, picked, toggle), [under, picked, toggle]);
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = query;
  const more = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage]);
  const inSight = useCallback((first: number, last: number) => setRange([first, last]), []);
  const detail = search.tag === undefined ? undefined : rows.find((row) => row.tag === search.tag);

  const tools = (
    <>
      <SearchField className={styles.search} label="Search tags" value={search.q ?? ''} onChange={(q) => change({ q })} />
      <span className="dim">{query.data && `${formatCount(total)} tags`}</span>
      <TrendButton picked={[...picked]} onClear={() => change({ pick: '' })} />
    </>
  );
  return (
    <Page title="Values" tools={tools} fill>
      <div className={cx(styles.layout, detail && styles.withDetail)}>
        <TagTree chosen={under} onChoose={(path) => change({ under: path }, false)} />
        <div className={styles.middle}>
          <Breadcrumb under={under} onChoose={(path) => change({ under: path }, false)} />
          {query.error && <ErrorNotice error={query.error} retry={() => void query.refetch()} />}
          {query.data && rows.length === 0 ? (
            <NoTags searching={words !== '' || under !== ''} onAll={() => change({ q: '', under: '' })} />
          ) : (
            <VirtualTable
              label="Values" rows={rows} columns={columns} rowKey={(row) => row.tag} total={total} minWidth={640} selected={search.tag} onEnd={more} onRange={inSight}
              onOpen={(row) => change({ tag: row.tag === search.tag ? '' : row.tag })} onKey={(row, key) => key === 't' && row.kind !== 'text' && (toggle(row.tag), true)}
            />
          )}
        </div>
        {detail && <TagDetail tag={detail} onClose={() => change({ tag: '' })} />}
      </div>
    </Page>
  );
}

function TrendButton({ picked, onClear }: { picked: readonly string[]; onClear: () => void }) {
  const navigate = useNavigate();
  if (picked.length === 0) return <span className="dim">Tick tags, or press t on a row, to trend them</span>;
  const show = () => void navigate({ to: '/trends', search: { tags: picked.join(','), span: '15m', live: '1' } });
  return (
    <>
      <Button size="compact-sm" onClick={show}>
        Trend {picked.length} {picked.length === 1 ? 'tag' : 'tags'}
      </Button>
      <Button size="compact-sm" variant="default" onClick={onClear}>
        Clear
      </Button>
    </>
  );
}

function Breadcrumb({ under, onChoose }: { under: string; onChoose: (path: string) => void }) {
  const steps = [{ path: '', name: 'All' }, ...ancestry(under).map((path) => ({ path, name: path.split('.').at(-1) ?? path }))];
  return (
    <nav className={styles.path} aria-label="Path">
      {steps.map((step, index) => (
        <span key={step.path}>
          {index > 0 && <span className="dim">›</span>}
          <Button size="compact-xs" variant="subtle" onClick={() => onChoose(step.path)} aria-current={step.path === under ? 'location' : undefined}>
            {step.name}
          </Button>
        </span>
      ))}
    </nav>
  );
}

function NoTags({ searching, onAll }: { searching: boolean; onAll: () => void }) {
  if (searching) {
    return (
      <EmptyState title="No tag matches">
        Try a part of the path, such as <code>FLOW</code>, or{' '}
        <Button size="compact-sm" variant="default" onClick={onAll}>
          show all tags
        </Button>
      </EmptyState>
    );
  }
  return (
    <EmptyState title="This site has no tags yet">
      Here stands the live value, quality and age of every tag. Tags come from the sources of the site file: add one, check it with{' '}
      <code>trunkline check site.yaml</code>, then start it with <code>trunkline up site.yaml</code>.
    </EmptyState>
  );
}
