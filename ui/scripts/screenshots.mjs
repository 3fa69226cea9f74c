// Sign in and photograph every page in both themes:
//   TRUNKLINE_URL=http://127.0.0.1:8400 TRUNKLINE_PASSWORD=… node scripts/screenshots.mjs OUT_FOLDER [WIDTHxHEIGHT …]
// TRUNKLINE_USER defaults to admin, CHROMIUM to the system's browser, ONLY to every page.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { launch, newPage, settled, signIn } from './browser.mjs';

const [out, ...sizes] = process.argv.slice(2);
const base = process.env.TRUNKLINE_URL ?? 'http://127.0.0.1:8400';
if (!out) throw new Error('say where the pictures go: node scripts/screenshots.mjs OUT_FOLDER');
mkdirSync(out, { recursive: true });

/** The first numeric tags of the server, for the trend. @param {import('playwright-core').Page} page */
async function someTags(page) {
  const answer = await page.request.get(`${base}/api/v1/tags?limit=200`);
  const { tags } = /** @type {{tags: {tag: string, kind: string, unit: string}[]}} */ (await answer.json());
  const units = new Set();
  return tags.filter((tag) => tag.kind === 'double' && units.size < 3 && !units.has(tag.unit) && units.add(tag.unit)).map((tag) => tag.tag);
}

/** @param {string[]} tags @returns {[string, string][]} */
const pages = (tags) => [
  ['overview', '/'],
  ['values', '/values'],
  ['values-detail', `/values?tag=${tags[0] ?? ''}&pick=${tags.slice(0, 2).join(',')}`],
  ['trends', `/trends?tags=${tags.join(',')}&span=15m&live=1`],
  ['trends-long', `/trends?tags=${tags.slice(0, 2).join(',')}&span=6h&live=1`],
  ['trends-empty', '/trends'],
  ['trust', '/trust'],
  ['deadletters', '/trust?view=deadletters'],
  ['sources', '/sources'],
  ['events', '/events'],
];

const browser = await launch();
try {
  for (const size of sizes.length > 0 ? sizes : ['1440x900']) {
    const [width, height] = size.split('x').map(Number);
    for (const scheme of /** @type {const} */ (['dark', 'light'])) {
      const { page, context } = await newPage(browser, { width: width ?? 1440, height: height ?? 900, scheme });
      await page.goto(`${base}/signin`);
      await settled(page);
      const suffix = sizes.length > 1 ? `-${size}` : '';
      const only = process.env.ONLY?.split(',');
      if (!only || only.includes('signin')) await page.screenshot({ path: join(out, `signin-${scheme}${suffix}.png`) });
      await signIn(page, base);
      for (const [name, address] of pages(await someTags(page))) {
        if (only && !only.includes(name)) continue;
        await page.goto(base + address);
        await settled(page);
        const path = join(out, `${name}-${scheme}${suffix}.png`);
        await page.screenshot({ path });
        console.log(path);
      }
      await context.close();
    }
  }
} finally {
  await browser.close();
}
