// A system Chromium for pictures and checks.
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const CANDIDATES = ['/usr/lib/chromium/chromium', '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/usr/bin/google-chrome-stable'];
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

export function launch() {
  const executablePath = process.env.CHROMIUM ?? CANDIDATES.find((path) => existsSync(path));
  if (!executablePath) throw new Error('no Chromium found: install it or name it in CHROMIUM');
  return chromium.launch({ executablePath, args: FLAGS, headless: true });
}

/** @param {import('playwright-core').Browser} browser @param {{width: number, height: number, scheme?: 'dark' | 'light'}} look */
export async function newPage(browser, { width, height, scheme = 'dark' }) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, reducedMotion: 'reduce' });
  const page = await context.newPage();
  const problems = /** @type {string[]} */ ([]);
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (message) => {
    if (message.type() !== 'error') return;
    // Being told to sign in, or that the server is away, is part of the product; anything else is not.
    if (!/Failed to load resource|WebSocket connection/.test(message.text())) problems.push(message.text());
  });
  return { page, context, problems };
}

/** Wait until the page has drawn and its first values came. @param {import('playwright-core').Page} page */
export async function settled(page) {
  await page.waitForSelector('h1');
  await page.waitForLoadState('networkidle', { timeout: 10_000 }).catch(() => undefined); // a live page is never idle for long
  await page.waitForTimeout(900);
}

/** @param {import('playwright-core').Page} page @param {string} base */
export async function signIn(page, base) {
  const password = process.env.TRUNKLINE_PASSWORD;
  if (!password) throw new Error('set TRUNKLINE_PASSWORD');
  await page.goto(`${base}/signin`);
  await page.getByLabel('User name').fill(process.env.TRUNKLINE_USER ?? 'admin');
  await page.getByRole('textbox', { name: 'Password' }).fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForURL((url) => !url.pathname.startsWith('/signin'));
}
