// @vitest-environment jsdom
import { cleanup, render } from '@testing-library/react';
import { afterEach, describe, expect, it } from 'vitest';
import { levelOf, Priority, type PriorityLevel } from './Priority';

describe('alarm priorities', () => {
  afterEach(cleanup);

  it('differ in shape and letter, not in colour alone', () => {
    const looks = ([4, 3, 2, 1].map(levelOf) as PriorityLevel[]).map((level) => {
      const { container } = render(<Priority level={level} />);
      const look = [container.querySelector('path')?.getAttribute('d'), container.textContent];
      cleanup();
      return look;
    });
    expect(looks.map(([, text]) => text)).toEqual(['Ccritical', 'Hhigh', 'Mmedium', 'Llow']);
    expect(new Set(looks.map(([shape]) => shape)).size).toBe(4);
  });

  it('come from the severities of the API', () => {
    expect([levelOf(4), levelOf(1), levelOf(null), levelOf(9)]).toEqual(['critical', 'low', undefined, undefined]);
  });
});
