import { describe, expect, it } from 'vitest';
import type { TreeNode } from '~/api/types';
import { ancestry, flatten } from './TagTree';

const node = (path: string, branch = true): TreeNode => ({ name: path.split('.').at(-1) ?? '', path, branch, tags: 1 });

describe('the tree', () => {
  const children = new Map([['', [node('P')]], ['P', [node('P.A'), node('P.B'), node('P.TAG', false)]], ['P.A', [node('P.A.U')]]]);

  it('shows children of open parents, and leaves tags to the table', () => {
    expect(flatten(children, new Set(['P'])).map((line) => line.path)).toEqual(['P', 'P.A', 'P.B']);
    expect(flatten(children, new Set(['P', 'P.A'])).map((line) => [line.path, line.depth])).toEqual([['P', 0], ['P.A', 1], ['P.A.U', 2], ['P.B', 1]]);
  });

  it('knows the way to a path', () => {
    expect(ancestry('A.B.C')).toEqual(['A', 'A.B', 'A.B.C']);
    expect(ancestry('')).toEqual([]);
  });
});
