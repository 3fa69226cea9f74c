import { useComputedColorScheme } from '@mantine/core';
import { useMemo } from 'react';
import type { Colors } from './plot';

/** Colours of the canvas, from the same tokens as everything else; they change with the scheme. */
export function useColors(): { colors: Colors; palette: string[] } {
  const scheme = useComputedColorScheme('dark');
  return useMemo(() => {
    const style = getComputedStyle(document.documentElement);
    const token = (name: string) => style.getPropertyValue(`--tl-${name}`).trim();
    const colors = {
      scheme,       text: token('text'), dim: token('dim'), grid: token('grid'), line: token('line'), selected: token('selected'), uncertain: token('medium'), bad: token('critical'),
    };
    return { colors, palette: Array.from({ length: 8 }, (_, i) => token(`series-${i + 1}`)) };
  }, [scheme]);
}
