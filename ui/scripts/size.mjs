// Print what the first page loads, compressed, from Vite's manifest; fail when it outgrows its limit.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const LIMIT_KB = 200;
const root = new URL('../../src/trunkline/api/static/', import.meta.url);
/** @type {Record<string, {file: string, css?: string[], imports?: string[]}>} */
const manifest = JSON.parse(readFileSync(new URL('.vite/manifest.json', root), 'utf8'));

/** @param {string} entry @param {Set<string>} seen */
function filesOf(entry, seen = new Set()) {
  const chunk = manifest[entry];
  if (!chunk) throw new Error(`${fileURLToPath(root)} holds no ${entry}`);
  for (const file of [chunk.file, ...(chunk.css ?? [])]) seen.add(file);
  for (const next of chunk.imports ?? []) filesOf(next, seen);
  return seen;
}

/** @param {Iterable<string>} files */
const kilobytes = (files) => [...files].reduce((sum, file) => sum + gzipSync(readFileSync(new URL(file, root))).length, 0) / 1000;

const first = filesOf('index.html');
const js = kilobytes([...first].filter((file) => file.endsWith('.js')));
const css = kilobytes([...first].filter((file) => file.endsWith('.css')));
console.log(`first paint: ${js.toFixed(1)} kB of scripts and ${css.toFixed(1)} kB of styles (gzip); limit ${LIMIT_KB} kB of scripts`);
for (const name of Object.keys(manifest).filter((key) => key.endsWith('Page.tsx'))) {
  const more = [...filesOf(name)].filter((file) => !first.has(file));
  console.log(`  ${name.replace('src/pages/', '')}: ${kilobytes(more).toFixed(1)} kB more`);
}
if (js > LIMIT_KB) process.exit(1);
