import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { contrast } from './contrast';

const css = readFileSync(new URL('./tokens.css', import.meta.url), 'utf8');

function scheme(name: string): Map<string, string> {
  const block = new RegExp(`color-scheme='${name}'\\] \\{([^}]*)\\}`).exec(css)?.[1] ?? '';
  return new Map([...block.matchAll(/--tl-([\w-]+): (#[0-9a-f]{6});/g)].map((m) => [m[1] ?? '', m[2] ?? '']));
}

const SURFACES = ['background', 'surface', 'raised'];
const MARKS = ['critical', 'high', 'medium', 'low', 'accent'];
const SERIES = Array.from({ length: 8 }, (_, i) => `series-${i + 1}`);

describe.each(['dark', 'light'])('tokens of the %s scheme', (name) => {
  const tokens = scheme(name);
  const ratio = (ink: string, paper: string) => contrast(tokens.get(ink) ?? ink, tokens.get(paper) ?? paper);

  it.each(SURFACES.flatMap((paper) => ['text', 'dim', 'accent'].map((ink) => [ink, paper] as const)))(
    'text %s on %s has a contrast of at least 4.5',
    (ink, paper) => expect(ratio(ink, paper)).toBeGreaterThanOrEqual(4.5),
  );

  it.each(['surface', 'raised'].flatMap((paper) => MARKS.map((ink) => [ink, paper] as const)))(
    'state words in %s on %s have a contrast of at least 4.5',
    (ink, paper) => expect(ratio(ink, paper)).toBeGreaterThanOrEqual(4.5),
  );

  it.each(SURFACES.flatMap((paper) => [...MARKS, ...SERIES].map((ink) => [ink, paper] as const)))(
    'mark %s on %s has a contrast of at least 3',
    (ink, paper) => expect(ratio(ink, paper)).toBeGreaterThanOrEqual(3),
  );

  it('writes on the accent with a contrast of at least 4.5', () => {
    expect(ratio('on-accent', 'accent')).toBeGreaterThanOrEqual(4.5);
  });

  it('gives the eight series nearly the same lightness', () => {
    const ratios = SERIES.map((ink) => ratio(ink, 'surface'));
    expect(Math.max(...ratios) / Math.min(...ratios)).toBeLessThan(1.15);
  });
});

describe('contrast', () => {
  it('is 21 for black on white and 1 for a colour on itself', () => {
    expect(contrast('#000000', '#ffffff')).toBeCloseTo(21, 5);
    expect(contrast('#8a939c', '#8a939c')).toBe(1);
  });

  it('refuses what is not a colour', () => {
    expect(() => contrast('red', '#ffffff')).toThrow('not a #rrggbb colour');
  });
});
