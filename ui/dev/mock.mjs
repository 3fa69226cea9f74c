// Development only: answers the API's contract with generated data, so that the pages can be worked on without a plant.
// MOCK_PORT (8499), MOCK_PASSWORD (printed when it is generated), and POST /mock?scenario=normal|empty|missing&unplug=SOURCE|none&down=SECONDS.
import { randomBytes } from 'node:crypto';
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocketServer } from 'ws';
import { chart, deadLetters, events, ledger, now, raw, state, status, tagOf, tupleAt, visibleTags } from './mock-data.mjs';

const STATIC = fileURLToPath(new URL('../../src/trunkline/api/static/', import.meta.url));
const TYPES = /** @type {Record<string, string>} */ ({ '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.json': 'application/json' });
const CSP = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const password = process.env.MOCK_PASSWORD ?? randomBytes(9).toString('base64url');
const session = randomBytes(12).toString('hex');
let downUntil = 0;

/** @typedef {{status: number, body: unknown, headers?: Record<string, string>}} Answer */
/** @param {unknown} body @returns {Answer} */
const ok = (body) => ({ status: 200, body });
/** @param {number} code @param {string} name @param {string} title @param {string} detail @param {string} mend @returns {Answer} */
const problem = (code, name, title, detail, mend) => ({ status: code, body: { code: name, title, detail, mend } });

/** @template T @param {T[]} rows @param {URLSearchParams} q @returns {{page: T[], next: string | null}} */
function paged(rows, q) {
  const start = Number(q.get('cursor') ?? 0);
  const end = start + Number(q.get('limit') ?? 500);
  return { page: rows.slice(start, end), next: end < rows.length ? String(end) : null };
}

/** @param {string | null} under @param {string} path */
const isUnder = (under, path) => !under || path === under || path.startsWith(`${under}.`);

/** @param {URLSearchParams} q */
function tagList(q) {
  const words = (q.get('search') ?? '').toUpperCase();
  const found = visibleTags().filter((t) => isUnder(q.get('under'), t.tag) && `${t.tag} ${t.description}`.toUpperCase().includes(words));
  const { page, next } = paged(found, q);
  return { tags: page.map(({ tag, kind, unit, description, min, max, gateway, source }) => ({ tag, kind, unit, description, min, max, gateway, source })), next, total: found.length };
}

/** @param {string} under */
function tree(under) {
  const prefix = under ? `${under}.` : '';
  const counts = /** @type {Map<string, {tags: number, branch: boolean}>} */ (new Map());
  for (const { tag } of visibleTags()) {
    if (!tag.startsWith(prefix)) continue;
    const [name = '', ...rest] = tag.slice(prefix.length).split('.');
    const node = counts.get(name) ?? { tags: 0, branch: false };
    counts.set(name, { tags: node.tags + 1, branch: node.branch || rest.length > 0 });
  }
  return { nodes: [...counts].map(([name, node]) => ({ name, path: prefix + name, ...node })) };
}

/** @param {string} tag */
function latest(tag) {
  const [, v, q, t, gateway_t] = tupleAt(tag, now());
  const severity = ['good', 'uncertain', 'bad'][Math.min(2, q >> 14)];
  return { tag, v, q, quality: q === 0 ? 'GOOD' : `0x${q.toString(16)}`, reason: '', severity, t, gateway_t };
}

/** @param {string | null} under */
function qualities(under) {
  const found = visibleTags().filter((t) => isUnder(under, t.tag)).map((t) => latest(t.tag));
  const counts = [...new Set(found.map((one) => one.q))].toSorted((a, b) => b - a).map((q) => {
    const same = found.filter((one) => one.q === q);
    return { q, quality: same[0]?.quality, reason: same[0]?.reason, severity: same[0]?.severity, tags: same.length };
  });
  return { tags: found.length, counts };
}

/** @param {URLSearchParams} q */
function history(q) {
  const [tag, from, to] = [q.get('tag') ?? '', Number(q.get('from')), Number(q.get('to'))];
  if (!tagOf(tag)) return problem(404, 'TAG_UNKNOWN', 'Unknown tag', `There is no tag ${tag}.`, 'Check the name on the Values page.');
  return ok(q.get('mode') === 'raw' ? raw(tag, from, to, Number(q.get('limit') ?? 10_000)) : chart(tag, from, to, Number(q.get('points') ?? 500)));
}

/** @param {URLSearchParams} q */
function eventList(q) {
  const words = (q.get('search') ?? '').toUpperCase();
  const found = (state.scenario === 'empty' ? [] : events).filter((e) =>
    (!q.get('category') || e.category === q.get('category')) && isUnder(q.get('under'), e.asset) && `${e.text} ${e.type} ${e.tag}`.toUpperCase().includes(words) &&
    e.time_us >= Number(q.get('from') ?? 0) && e.time_us < Number(q.get('to') ?? Infinity));
  const { page, next } = paged(found, q);
  return { events: page, next };
}

/** @type {Record<string, (q: URLSearchParams) => Answer>} */
const ROUTES = {
  'GET /session': () => ok({ username: 'admin', role: 'administrator', expires_us: now() + 8 * 3600e6 }),
  'GET /site': () => ok({ site: 'PLANT01', title: 'Demonstration plant', timezone: 'Europe/Amsterdam', version: '0.1.0', now_us: now() }),
  'GET /status': () => ok(status()),
  'GET /tags': (q) => ok(tagList(q)),
  'GET /tree': (q) => ok(tree(q.get('under') ?? '')),
  'GET /latest': (q) => ok({ values: visibleTags().filter((t) => (q.has('under') ? isUnder(q.get('under'), t.tag) : q.getAll('tag').includes(t.tag))).map((t) => latest(t.tag)) }),
  'GET /quality': (q) => ok(qualities(q.get('under'))),
  'GET /history': history,
  'GET /events': (q) => ok(eventList(q)),
  'GET /deadletters': (q) => {
    const { page, next } = paged(state.scenario === 'empty' ? [] : deadLetters, q);
    return ok({ rows: page, total: state.scenario === 'empty' ? 0 : deadLetters.length, next });
  },
  'GET /ledger': () => ok(ledger()),
  'DELETE /session': () => ({ status: 204, body: null, headers: { 'Set-Cookie': 'trunkline_session=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict' } }),
};

/** @param {import('node:http').IncomingMessage} request @returns {Promise<Answer>} */
async function signIn(request) {
  let text = '';
  for await (const part of request) text += String(part);
  const body = /** @type {{password?: string}} */ (JSON.parse(text));
  if (body.password !== password) return problem(401, 'SIGN_IN_REFUSED', 'Sign-in refused', 'User name or password is wrong.', 'Check both; the first password is printed where the server was started.');
  const cookie = `trunkline_session=${session}; Path=/; HttpOnly; SameSite=Strict`;
  return { ...ok({ username: 'admin', role: 'administrator', expires_us: now() + 8 * 3600e6 }), headers: { 'Set-Cookie': cookie } };
}

/** @param {URLSearchParams} q */
function control(q) {
  state.scenario = q.get('scenario') ?? state.scenario;
  if (q.has('unplug')) {
    state.unplugged = q.get('unplug') === 'none' ? null : q.get('unplug');
    state.unpluggedAt = now() - 20e6;
  }
  if (q.has('down')) {
    downUntil = Date.now() + Number(q.get('down')) * 1000;
    for (const client of sockets.clients) client.terminate();
  }
  return ok(state);
}

/** @param {import('node:http').IncomingMessage} request */
const signedIn = (request) => (request.headers.cookie ?? '').includes(session);

/** @param {string} path @param {import('node:http').ServerResponse} response */
function file(path, response) {
  const wanted = join(STATIC, normalize(path));
  const found = wanted.startsWith(STATIC) && existsSync(wanted) && statSync(wanted).isFile() ? wanted : join(STATIC, 'index.html');
  response.writeHead(200, { 'Content-Type': TYPES[extname(found)] ?? 'application/octet-stream', 'Content-Security-Policy': CSP });
  createReadStream(found).pipe(response);
}

/** @param {import('node:http').IncomingMessage} request @param {URL} url @returns {Promise<Answer> | Answer} */
function route(request, url) {
  if (url.pathname === '/mock') return control(url.searchParams);
  const name = `${request.method ?? ''} ${url.pathname.replace('/api/v1', '')}`;
  if (name === 'POST /session') return signIn(request);
  if (!signedIn(request)) return problem(401, 'NOT_SIGNED_IN', 'Not signed in', 'This needs a session.', 'Sign in.');
  const answer = ROUTES[name];
  return answer ? answer(url.searchParams) : problem(404, 'NOT_FOUND', 'Not found', `There is no ${name}.`, '');
}

const server = createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://localhost');
  if (Date.now() < downUntil && url.pathname !== '/mock') {
    request.socket.destroy();
    return;
  }
  if (!url.pathname.startsWith('/api/') && url.pathname !== '/mock') {
    file(url.pathname, response);
    return;
  }
  void Promise.resolve(route(request, url)).then((answer) => {
    const type = answer.status >= 400 ? 'application/problem+json' : 'application/json';
    response.writeHead(answer.status, { 'Content-Type': type, ...answer.headers });
    response.end(answer.status === 204 ? undefined : JSON.stringify(answer.body));
  });
});

const sockets = new WebSocketServer({ noServer: true });
server.on('upgrade', (request, socket, head) => {
  if (Date.now() < downUntil) {
    socket.destroy();
    return;
  }
  sockets.handleUpgrade(request, socket, head, (client) => {
    if (!signedIn(request)) {
      client.close(4401);
      return;
    }
    const wanted = /** @type {Set<string>} */ (new Set());
    /** @param {Iterable<string>} names */
    const values = (names) => ({ type: 'values', values: [...names].map((tag) => tupleAt(tag, now())) });
    /** @param {unknown} frame */
    const send = (frame) => client.send(JSON.stringify(frame));
    client.on('message', (data) => {
      const { op, tags = [] } = /** @type {{op: string, tags?: string[]}} */ (JSON.parse(Buffer.from(/** @type {Buffer} */ (data)).toString()));
      for (const tag of tags) {
        if (op === 'subscribe') wanted.add(tag);
        else wanted.delete(tag);
      }
      if (op === 'subscribe') send(values(tags));
    });
    const timers = [
      setInterval(() => wanted.size > 0 && send(values(wanted)), 250),
      setInterval(() => send({ type: 'status', ...status() }), 2000),
      setInterval(() => { const { balanced, totals, at_us, proof } = ledger(); send({ type: 'ledger', balanced, totals, at_us, proof }); }, 5000),
    ];
    client.on('close', () => timers.forEach((timer) => clearInterval(timer)));
  });
});

server.listen(Number(process.env.MOCK_PORT ?? 8499), '127.0.0.1', () => {
  const address = server.address();
  console.log(`mock of the API on http://127.0.0.1:${typeof address === 'object' && address ? address.port : ''} user admin, word ${process.env.MOCK_PASSWORD ? 'from MOCK_PASSWORD' : password}`);
});
