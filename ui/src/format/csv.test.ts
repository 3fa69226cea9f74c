import { describe, expect, it } from 'vitest';
import { toCsv } from './csv';

describe('CSV', () => {
  it('quotes, keeps numbers and leaves unknown empty', () => {
    expect(toCsv(['tag', 'v'], [['A,"B"', -1.5], ['C\nD', null]])).toBe('tag,v\r\n"A,""B""",-1.5\r\n"C\nD",\r\n');
  });

  it('does not let a text run as a formula', () => {
    expect(toCsv(['v'], [['=HYPERLINK(1)'], ['@x'], ['+1']])).toBe("v\r\n'=HYPERLINK(1)\r\n'@x\r\n'+1\r\n");
  });
});
