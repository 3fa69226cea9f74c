// Write src/api/schemas.ts from the API's OpenAPI document, or with --check say whether it is up to date:
//   node scripts/types.mjs [--check] [DOCUMENT]
// Only the shapes of bodies are kept: the paths are few and written once, in src/api/queries.ts.
import { readFileSync, writeFileSync } from 'node:fs';
import openapi, { astToString } from 'openapi-typescript';

const arguments_ = process.argv.slice(2);
const document = arguments_.find((one) => !one.startsWith('--')) ?? new URL('../../docs/reference/openapi.json', import.meta.url);
const target = new URL('../src/api/schemas.ts', import.meta.url);
const HEAD = "// Written by 'npm run types' from docs/reference/openapi.json; do not edit.\n";

/** Words of the document are for its readers; here the names do. @param {unknown} value @returns {unknown} */
function withoutProse(value) {
  if (Array.isArray(value)) return value.map(withoutProse);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(([name, inner]) => !(['description', 'title', 'examples'].includes(name) && typeof inner !== 'object'));
  return Object.fromEntries(kept.map(([name, inner]) => [name, withoutProse(inner)]));
}

/** @type {{openapi: string, info: object, components: {schemas: object}}} */
const parsed = JSON.parse(readFileSync(document, 'utf8'));
const shapes = withoutProse({ openapi: parsed.openapi, info: parsed.info, paths: {}, components: { schemas: parsed.components.schemas } });
const info = { title: 'Trunkline', version: '1' };
const nodes = await openapi(/** @type {import('openapi-typescript').OpenAPI3} */ ({ .../** @type {object} */ (shapes), info }), { alphabetize: true });
const interfaces = astToString(nodes).replace(/^[\s\S]*?(?=export interface components)/, '').replace(/export type (\$defs|operations)[^\n]*\n/g, '');
const text = `${HEAD}${interfaces}`;

if (arguments_.includes('--check')) {
  if (readFileSync(target, 'utf8') !== text) {
    console.error("src/api/schemas.ts is out of date: run 'npm run types'");
    process.exit(1);
  }
} else {
  writeFileSync(target, text);
}
