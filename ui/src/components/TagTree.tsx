import { useQueries, useQuery } from '@tanstack/react-query';
import { useMemo, useState, type KeyboardEvent } from 'react';
import { treeQuery } from '~/api/queries';
import type { TreeNode } from '~/api/types';
import { formatCount } from '~/format/number';
import { cx } from './cx';
import { Icon } from './Icon';
import styles from './TagTree.module.css';

interface Props {
  /** Path whose tags are shown; '' is the whole site. */
  chosen: string;
  onChoose: (path: string) => void;
}

interface Line extends TreeNode {
  depth: number;
  open: boolean;
}

/** Ancestors of a path and the path itself, from the top: 'A.B.C' gives A, A.B, A.B.C. */
export function ancestry(path: string): string[] {
  const parts = path === '' ? [] : path.split('.');
  return parts.map((_, index) => parts.slice(0, index + 1).join('.'));
}

/** The lines of the tree as they stand on the screen, children under their open parents. Leaves are tags: the table shows those. */
export function flatten(children: ReadonlyMap<string, readonly TreeNode[]>, open: ReadonlySet<string>, under = '', depth = 0): Line[] {
  return (children.get(under) ?? [])
    .filter((node) => node.branch)
    .flatMap((node) => {
      const isOpen = open.has(node.path);
      return [{ ...node, depth, open: isOpen }, ...(isOpen ? flatten(children, open, node.path, depth + 1) : [])];
    });
}

/** Sites, areas and units; each level is asked for when it is opened. */
export function TagTree({ chosen, onChoose }: Props) {
  const top = useQuery(treeQuery(''));
  const [toggled, setToggled] = useState<ReadonlyMap<string, boolean>>(new Map());
  const open = useMemo(() => {
    const paths = new Set(ancestry(chosen));
    // A site with one plant opens at its areas.
    const [only, ...others] = top.data ?? [];
    if (only && others.length === 0) paths.add(only.path);
    for (const [path, isOpen] of toggled) {
      if (isOpen) paths.add(path);
      else paths.delete(path);
    }
    return paths;
  }, [chosen, toggled, top.data]);
  const asked = ['', ...open];
  const answers = useQueries({ queries: asked.map((path) => treeQuery(path)) });
  const children = new Map(asked.map((path, index) => [path, answers[index]?.data ?? []]));
  const all: Line = { name: 'All', path: '', branch: true, tags: (children.get('') ?? []).reduce((sum, node) => sum + node.tags, 0), depth: 0, open: true };
  const lines = [all, ...flatten(children, open)];
  const toggle = (path: string, isOpen: boolean) => setToggled(new Map(toggled).set(path, isOpen));

  const keyDown = (event: KeyboardEvent) => {
    const index = lines.findIndex((line) => line.path === chosen);
    const line = lines[index];
    const go = (next: Line | undefined) => next && onChoose(next.path);
    if (event.key === 'ArrowDown') go(lines[index + 1]);
    else if (event.key === 'ArrowUp') go(lines[index - 1]);
    else if (event.key === 'ArrowRight' && line) {
      if (line.open) go(lines[index + 1]);
      else toggle(line.path, true);
    } else if (event.key === 'ArrowLeft' && line && line.path !== '') {
      if (line.open) toggle(line.path, false);
      else onChoose(ancestry(line.path).at(-2) ?? '');
    } else return;
    event.preventDefault();
  };

  return (
    <div className={styles.tree} role="tree" aria-label="Tag paths" tabIndex={0} onKeyDown={keyDown}>
      {lines.map((line) => (
        <div
          key={line.path} role="treeitem" aria-level={line.depth + 1} aria-expanded={line.open} aria-selected={line.path === chosen}
          className={cx(styles.node, line.path === chosen && styles.chosen)} style={{ paddingLeft: 4 + line.depth * 14 }} onClick={() => onChoose(line.path)}
        >
          {line.path !== '' && (
            <span
              className={cx(styles.arrow, line.open && styles.expanded)} aria-hidden="true"
              onClick={(event) => { event.stopPropagation(); toggle(line.path, !line.open); }}
            >
              <Icon name="chevron" size={12} />
            </span>
          )}
          <span className={styles.name}>{line.name}</span>
          <span className={styles.count}>{formatCount(line.tags)}</span>
        </div>
      ))}
    </div>
  );
}
