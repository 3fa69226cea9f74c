import { createTheme, defaultVariantColorsResolver, type CSSVariablesResolver, type MantineColorsTuple, type VariantColorsResolver } from '@mantine/core';

/** Shades of the accent; 4 is the dark scheme's and 7 the light scheme's token. */
const accent: MantineColorsTuple = [
  '#eaf3fa', '#d3e4f2', '#b3d1ea', '#90bce1', '#6ea8d9', '#4b90c6', '#317db6', '#1f6ca8', '#185a8d', '#124872',
];

/** Mantine's greys of the dark scheme, made ours: text, dim, line, raised, surface, background. */
const dark: MantineColorsTuple = [
  '#d6dade', '#b4bac1', '#8a939c', '#6b747d', '#323840', '#2b3138', '#14171a', '#1b1f23', '#14171a', '#0f1214',
];

const variantColorResolver: VariantColorsResolver = (input) => {
  const colors = defaultVariantColorsResolver(input);
  if (input.color !== undefined && input.color !== 'accent') return colors;
  if (input.variant === 'filled') return { ...colors, background: 'var(--tl-accent)', color: 'var(--tl-on-accent)' };
  if (input.variant === 'light') return { ...colors, background: 'var(--tl-selected)', hover: 'var(--tl-selected)', color: 'var(--tl-text)', border: '1px solid var(--tl-accent)' };
  return input.variant === 'subtle' ? { ...colors, color: 'var(--tl-accent)' } : colors;
};

export const theme = createTheme({
  primaryColor: 'accent',
  primaryShade: { dark: 4, light: 7 },
  variantColorResolver,
  colors: { accent, dark },
  defaultRadius: 'sm',
  cursorType: 'pointer',
  respectReducedMotion: true,
  fontFamily: 'var(--tl-font)',
  fontFamilyMonospace: 'var(--tl-mono)',
  fontSizes: { xs: '12px', sm: '13px', md: '14px' },
});

const shared = {
  '--mantine-color-body': 'var(--tl-background)',
  '--mantine-color-text': 'var(--tl-text)',
  '--mantine-color-dimmed': 'var(--tl-dim)',
  '--mantine-color-default': 'var(--tl-raised)',
  '--mantine-color-default-hover': 'var(--tl-raised)',
  '--mantine-color-default-color': 'var(--tl-text)',
  '--mantine-color-default-border': 'var(--tl-line)',
  '--mantine-color-anchor': 'var(--tl-accent)',
  '--mantine-color-error': 'var(--tl-critical)',
};

/** Mantine's variables follow our tokens, so that one file holds every colour. */
export const cssVariablesResolver: CSSVariablesResolver = () => ({ variables: {}, dark: shared, light: shared });
