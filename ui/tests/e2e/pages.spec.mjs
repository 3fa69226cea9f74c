// Browser checks against a running server: TRUNKLINE_URL, TRUNKLINE_PASSWORD, and optionally TRUNKLINE_USER and CHROMIUM.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, describe, it } from 'node:test';
import { launch, newPage, signIn } from '../../scripts/browser.mjs';

const base = process.env.TRUNKLINE_URL ?? '';
const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const LIMIT = 30_000;
const PAGES = ['/', '/values', '/trends', '/events', '/sources', '/trust'];

/** @type {import('playwright-core').Browser} */
let browser;
/** @type {Awaited<ReturnType<typeof newPage>>} */
let opened;

before(async () => {
  assert.ok(base, 'set TRUNKLINE_URL to a running server');
  browser = await launch();
  opened = await newPage(browser, { width: 1440, height: 900 });
  opened.page.setDefaultTimeout(LIMIT);
  await signIn(opened.page, base);
});

after(() => browser.close());

/** Poll until `ask` gives something true. @template T @param {() => Promise<T>} ask @param {string} what */
async function until(ask, what) {
  const end = Date.now() + LIMIT;
  for (;;) {
    const found = await ask();
    if (found) return found;
    assert.ok(Date.now() < end, `waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** First numeric tags of the server that have readings now. @returns {Promise<string[]>} */
async function liveTags() {
  const answer = await opened.page.request.get(`${base}/api/v1/latest?under=`);
  const { values } = /** @type {{values: {tag: string, v: unknown, severity: string}[]}} */ (await answer.json());
  return values.filter((one) => typeof one.v === 'number' && !Number.isInteger(one.v) && one.severity === 'good').map((one) => one.tag);
}

describe('signing in', () => {
  it('refuses a wrong password with a code and the mend', async () => {
    const { page, context } = await newPage(browser, { width: 1000, height: 700 });
    await page.goto(`${base}/values?under=X`);
    await page.waitForURL(/\/signin\?next=/);
    await page.getByLabel('User name').fill('admin');
    await page.getByRole('textbox', { name: 'Password' }).fill(`not ${process.env.TRUNKLINE_PASSWORD ?? ''}`);
    await page.getByRole('button', { name: 'Sign in' }).click();
    const alert = page.getByRole('alert');
    await alert.waitFor();
    assert.match(await alert.innerText(), /SIGN_IN_REFUSED/);
    await context.close();
  });

  it('leads back to the page that was asked for', async () => {
    const { page, context } = await newPage(browser, { width: 1000, height: 700 });
    await page.goto(`${base}/trust`);
    await page.waitForURL(/\/signin\?next=/);
    await page.getByRole('textbox', { name: 'Password' }).fill(process.env.TRUNKLINE_PASSWORD ?? '');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: 'Trust' }).waitFor();
    await context.close();
  });
});

describe('values', () => {
  it('change while one looks, and stand still after space', async () => {
    const { page } = opened;
    await page.goto(`${base}/values`);
    const grid = page.getByRole('grid', { name: 'Values' });
    await grid.getByRole('row').nth(1).waitFor();
    const read = () => grid.innerText();
    await until(async () => /\d/.test(await read()), 'a value is shown');
    const first = await read();
    await until(async () => (await read()) !== first, 'a value changes');
    await page.getByRole('heading', { name: 'Values' }).click();
    await page.keyboard.press('Space');
    await page.getByText('Live values paused').waitFor();
    const cells = () => grid.locator('[role=row] [role=gridcell]:nth-child(3)').allInnerTexts();
    const still = await cells();
    await page.waitForTimeout(1200);
    assert.deepEqual(await cells(), still);
    await page.keyboard.press('Space');
    await page.getByText('Live values paused').waitFor({ state: 'detached' });
  });

  it('are found by search, from the keyboard, and picked for a trend', async () => {
    const { page } = opened;
    const [tag = ''] = await liveTags();
    await page.goto(`${base}/values`);
    await page.getByLabel('Search tags').last().fill(tag);
    await page.waitForURL((url) => url.searchParams.get('q') === tag);
    const grid = page.getByRole('grid', { name: 'Values' });
    await grid.getByRole('row').nth(1).getByText(tag.split('.').at(-1) ?? '').first().waitFor();
    await grid.focus();
    await page.keyboard.press('t');
    await page.getByRole('button', { name: 'Trend 1 tag' }).click();
    await page.waitForURL(/\/trends\?tags=/);
  });
});

describe('trends', () => {
  it('draw a line, zoom with the wheel, and keep the view in the address', async () => {
    const { page } = opened;
    const tags = (await liveTags()).slice(0, 2);
    await page.goto(`${base}/trends?tags=${tags.join(',')}&span=5m&live=1`);
    await until(async () => (await page.getByTestId('resolution').innerText()).includes('good'), 'the resolution is named');
    const canvas = page.getByTestId('trend').locator('canvas');
    const colours = await canvas.evaluate((node) => {
      const { width, height } = /** @type {HTMLCanvasElement} */ (node);
      const data = /** @type {HTMLCanvasElement} */ (node).getContext('2d')?.getImageData(0, 0, width, height).data ?? [];
      const seen = new Set();
      for (let i = 0; i < data.length; i += 4) if ((data[i + 3] ?? 0) > 200) seen.add(`${data[i]},${data[i + 1]},${data[i + 2]}`);
      return seen.size;
    });
    assert.ok(colours > tags.length + 2, 'lines and axes are drawn');
    const box = await page.locator('.u-over').boundingBox();
    assert.ok(box);
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    await page.mouse.wheel(0, -200);
    await page.waitForURL((url) => url.searchParams.has('from') && url.searchParams.has('to'));
    await page.mouse.dblclick(box.x + box.width / 2, box.y + box.height / 2);
    await page.waitForURL((url) => url.searchParams.get('live') === '1');
  });

  it('move the cursor with the arrow keys', async () => {
    const { page } = opened;
    const [tag = ''] = await liveTags();
    await page.goto(`${base}/trends?tags=${tag}&span=5m&live=1`);
    await until(async () => (await page.getByTestId('resolution').innerText()).includes('good'), 'the resolution is named');
    await page.getByTestId('trend').focus();
    const cell = page.getByRole('table', { name: 'Tags of the trend' }).locator('tbody td').nth(3);
    await until(async () => {
      await page.keyboard.press('ArrowRight');
      return /\d/.test(await cell.innerText());
    }, 'the value at the cursor is shown');
  });

  it('save what is shown as CSV', async () => {
    const { page } = opened;
    const [tag = ''] = await liveTags();
    await page.goto(`${base}/trends?tags=${tag}&span=5m&live=1`);
    await until(async () => (await page.getByTestId('resolution').innerText()).includes('good'), 'the resolution is named');
    const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: /CSV/ }).click()]);
    assert.match(file.suggestedFilename(), /^trend-.*\.csv$/);
  });
});

describe('trust', () => {
  it('says that the ledger is balanced, and since when', async () => {
    const { page } = opened;
    await page.goto(`${base}/trust`);
    await until(async () => (await page.getByTestId('proof').innerText()).includes('Ledger balanced'), 'the ledger is balanced');
    assert.match(await page.getByTestId('proof').innerText(), /proven/);
  });
});

/** Rules of WCAG 2.2 AA that a machine finds broken on a page. @param {import('playwright-core').Page} page @returns {Promise<string[]>} */
async function faultsOf(page) {
  await page.evaluate(readFileSync(axe, 'utf8'));
  return page.evaluate(async () => {
    const runner = /** @type {{axe: {run: (context: Document, options: object) => Promise<{violations: {id: string, nodes: {target: unknown}[]}[]}>}}} */ (/** @type {unknown} */ (globalThis));
    const { violations } = await runner.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa'] });
    return violations.map((one) => `${one.id}: ${JSON.stringify(one.nodes.slice(0, 3).map((node) => node.target))}`);
  });
}

for (const scheme of /** @type {const} */ (['dark', 'light'])) {
  describe(`every page in the ${scheme} theme`, () => {
    /** @type {Awaited<ReturnType<typeof newPage>>} */
    let themed;

    before(async () => {
      themed = scheme === 'dark' ? opened : await newPage(browser, { width: 1440, height: 900, scheme });
      themed.page.setDefaultTimeout(LIMIT);
      if (themed !== opened) await signIn(themed.page, base);
    });

    for (const address of PAGES) {
      it(`${address} has no fault of accessibility that a machine can find`, async () => {
        const { page } = themed;
        await page.goto(base + address);
        await page.getByRole('heading', { level: 1 }).waitFor();
        await page.waitForTimeout(700);
        assert.equal(await page.locator('html').getAttribute('data-mantine-color-scheme'), scheme);
        assert.deepEqual(await faultsOf(page), []);
      });
    }

    it('the page for signing in has none either', async () => {
      const { page, context } = await newPage(browser, { width: 1000, height: 700, scheme });
      await page.goto(`${base}/signin`);
      await page.getByRole('button', { name: 'Sign in' }).waitFor();
      assert.deepEqual(await faultsOf(page), []);
      await context.close();
    });

    it('logged no error to the console', () => assert.deepEqual(themed.problems, []));
  });
}

describe('every page', () => {
  it('shows the texts of its tables whole', async () => {
    const { page, context } = await newPage(browser, { width: 1440, height: 900 });
    await signIn(page, base);
    for (const [address, label, columns] of /** @type {const} */ ([['/trust', 'Ledger by source and hour', [1]], ['/events', 'Events', [1, 5]]])) {
      await page.goto(base + address);
      const grid = page.getByRole('grid', { name: label });
      await grid.getByRole('row').nth(1).waitFor();
      for (const column of columns) {
        const cells = grid.locator(`[role=row] > :nth-child(${column})`);
        const cut = await cells.evaluateAll((nodes) => nodes.filter((node) => node.scrollWidth > node.clientWidth).map((node) => node.textContent));
        assert.deepEqual(cut, [], `${address}, column ${column}`);
      }
    }
    await context.close();
  });

  it('is reached by Ctrl-K', async () => {
    const { page } = opened;
    await page.goto(`${base}/`);
    await page.getByRole('heading', { level: 1 }).waitFor();
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox', { name: 'Search tags and pages' }).fill('ledger');
    await page.getByRole('option', { name: /Trust/ }).waitFor();
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/trust/);
  });
});
