/** Addresses carry plain text: `?tags=A,B&span=15m`, readable and fit to be written by hand. */

const READABLE: Readonly<Record<string, string>> = { '%2C': ',', '%3A': ':', '%2F': '/', '+': '%20' };

export function parseSearch(text: string): Record<string, string> {
  return Object.fromEntries(new URLSearchParams(text));
}

export function stringifySearch(search: Record<string, unknown>): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(search)) {
    if (typeof value === 'string' && value !== '') params.set(name, value);
  }
  const text = params.toString().replaceAll(/%2C|%3A|%2F|\+/g, (code) => READABLE[code] ?? code);
  return text === '' ? '' : `?${text}`;
}

/** Text of a parameter, or undefined. */
export function textOf(search: Record<string, unknown>, name: string): string | undefined {
  const value = search[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** Parameter if it is one of `allowed`. */
export function oneOf<T extends string>(search: Record<string, unknown>, name: string, allowed: readonly T[]): T | undefined {
  return allowed.find((value) => value === search[name]);
}

/** Tags of a comma-separated parameter, without doubles, in order. */
export function listOf(text: string | undefined): string[] {
  return [...new Set((text ?? '').split(',').filter((part) => part !== ''))];
}

/** Leave out what is undefined or empty, so that an address holds only what was chosen. */
export function compact<T extends object>(search: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(search).filter(([, value]) => value !== undefined && value !== '')) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };
}
