// @vitest-environment jsdom
import { cleanup, render } from '@testing-library/react';
import { afterEach, describe, expect, it } from 'vitest';
import type { LiveValue } from '~/live/store';
import { ValueText } from './LiveCell';

const value = (v: LiveValue['v'], q: number): LiveValue => ({ v, q, t: 1, gatewayTime: 1 });

describe('a value on the screen', () => {
  afterEach(cleanup);

  const show = (live: LiveValue | undefined) => render(<ValueText value={live} kind="double" digits={1} />).container;

  it('is silent about good quality', () => {
    const shown = show(value(21.34, 0));
    expect(shown.textContent).toBe('21.3');
    expect(shown.querySelector('[title]')).toBeNull();
  });

  it('says to eyes and to screen readers what is uncertain', () => {
    const shown = show(value(21.34, 0x4f03));
    expect(shown.textContent).toBe('21.3?Uncertain: suspect rate of change');
    expect(shown.querySelector('[title="Uncertain: suspect rate of change"]')).not.toBeNull();
  });

  it('strikes through what is bad, and marks manual values', () => {
    expect(show(value(21.34, 0x803c)).textContent).toBe('21.3✕Bad: out of range');
    cleanup();
    expect(show(value(21.34, 0x0096)).textContent).toBe('21.3MGood: manual value');
  });

  it('shows the unknown as a dash, never as zero', () => {
    expect(show(undefined).textContent).toBe('—');
    cleanup();
    expect(show(value(null, 0x8031)).textContent).toBe('—✕Bad: communication lost');
  });
});
