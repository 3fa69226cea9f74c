import { describe, expect, it } from 'vitest';
import { compact, listOf, oneOf, parseSearch, stringifySearch } from './address';

describe('addresses', () => {
  it('stay readable and go both ways', () => {
    const search = { tags: 'P.A,P.B', from: '2026-11-21T12:00:00.000Z', q: 'flow & level +1%' };
    const text = stringifySearch(search);
    expect(text).toBe('?tags=P.A,P.B&from=2026-11-21T12:00:00.000Z&q=flow%20%26%20level%20%2B1%25');
    expect(parseSearch(text)).toEqual(search);
  });

  it('leave out what was not chosen', () => {
    expect(stringifySearch({ tags: '', q: undefined })).toBe('');
    expect(compact({ a: 'x', b: '', c: undefined })).toEqual({ a: 'x' });
  });

  it('do not believe what is typed into them', () => {
    expect(oneOf({ category: 'alarm' }, 'category', ['event', 'alarm'])).toBe('alarm');
    expect(oneOf({ category: 'DROP' }, 'category', ['event', 'alarm'])).toBeUndefined();
    expect(listOf('A,,B,A')).toEqual(['A', 'B']);
  });
});
