// Generated plant for the development server: every value is a function of tag and time, so history and live agree.

const SECOND = 1_000_000;
const HOUR = 3600 * SECOND;
const QUANTITIES = [
  { name: 'FLOW_RATE', unit: 'm³/h', kind: 'double', min: 0, max: 500, mid: 240, description: 'Feed flow' },
  { name: 'PRESSURE', unit: 'bar', kind: 'double', min: 0, max: 16, mid: 8.4, description: 'Discharge pressure' },
  { name: 'TEMPERATURE', unit: '°C', kind: 'double', min: 0, max: 200, mid: 84, description: 'Outlet temperature' },
  { name: 'LEVEL', unit: '%', kind: 'double', min: 0, max: 100, mid: 55, description: 'Drum level' },
  { name: 'PUMP_RUNNING', unit: '', kind: 'boolean', min: null, max: null, mid: 0, description: 'Feed pump running' },
  { name: 'TOTAL_COUNT', unit: '', kind: 'integer', min: null, max: null, mid: 0, description: 'Batches since commissioning' },
  { name: 'MODE', unit: '', kind: 'text', min: null, max: null, mid: 0, description: 'Controller mode' },
];
const SOURCES = [
  { id: 'plc-line-1', type: 'modbus' },
  { id: 'dcs-server', type: 'opcua' },
  { id: 'field-broker', type: 'mqtt' },
];

export const now = () => Date.now() * 1000;
const startedAt = now() - 7 * HOUR;

/** @param {string} text */
function hash(text) {
  let h = 2166136261;
  for (const c of text) h = Math.imul(h ^ c.charCodeAt(0), 16777619);
  return (h >>> 0) / 2 ** 32;
}

/** @type {{scenario: string, unplugged: string | null, unpluggedAt: number}} */
export const state = { scenario: 'normal', unplugged: null, unpluggedAt: 0 };

export const tags = SOURCES.flatMap((source, area) =>
  [1, 2, 3, 4].flatMap((unit) =>
    QUANTITIES.map((q) => ({
      tag: `PLANT01.AREA0${area + 1}.UNIT_0${unit}.${q.name}`, kind: q.kind, unit: q.unit, min: q.min, max: q.max, gateway: 'GW01',
      description: `${q.description}, unit ${unit} of area ${area + 1}`, source: source.id, mid: q.mid, seed: hash(`${area}${unit}${q.name}`),
    })),
  ),
);
export const visibleTags = () => (state.scenario === 'empty' ? [] : tags);
const byName = new Map(tags.map((tag) => [tag.tag, tag]));

/** @param {string} name */
export const tagOf = (name) => byName.get(name);

/** @param {typeof tags[number]} tag @param {number} us */
function number(tag, us) {
  const s = us / SECOND;
  const range = (tag.max ?? 1) - (tag.min ?? 0);
  const noise = (hash(`${Math.floor(s * 2)}${tag.tag}`) - 0.5) * 0.02;
  const slow = Math.sin(s / 1700 + tag.seed * 40) * 0.12 + Math.sin(s / 190 + tag.seed * 9) * 0.05 + Math.sin(s / 23) * 0.01;
  return tag.mid + range * (slow + noise);
}

/** @param {typeof tags[number]} tag @param {number} us */
function valueAt(tag, us) {
  if (tag.kind === 'boolean') return Math.sin(us / SECOND / 240 + tag.seed * 6) > -0.6;
  if (tag.kind === 'integer') return Math.floor(us / SECOND / 90) - 19_000_000 + Math.floor(tag.seed * 1000);
  if (tag.kind === 'text') return Math.sin(us / SECOND / 600 + tag.seed * 6) > 0.8 ? 'MANUAL' : 'AUTO';
  return number(tag, us);
}

/** Quality at a moment: a few tags have trouble, an unplugged source goes stale and then bad. @param {typeof tags[number]} tag @param {number} us */
function qualityAt(tag, us) {
  if (state.unplugged === tag.source && us > state.unpluggedAt) return us > state.unpluggedAt + 8 * SECOND ? 0x8031 : 0x4090;
  if (tag.tag.endsWith('AREA02.UNIT_03.LEVEL')) return 0x808c;
  if (tag.tag.endsWith('AREA01.UNIT_02.TEMPERATURE') && Math.sin(us / SECOND / 60) > 0.5) return 0x4f03;
  if (tag.tag.endsWith('AREA03.UNIT_04.PRESSURE')) return 0x4094;
  if (tag.tag.endsWith('AREA03.UNIT_01.FLOW_RATE')) return 0x0096;
  return 0;
}

/** @param {string} name @param {number} us @returns {[string, number | boolean | string | null, number, number, number]} */
export function tupleAt(name, us) {
  const tag = tagOf(name);
  if (!tag) return [name, null, 0x8034, us, us];
  const q = qualityAt(tag, us);
  const t = q === 0x4090 || q === 0x8031 ? state.unpluggedAt : us - 120_000;
  const v = q === 0x8031 ? null : valueAt(tag, t);
  return [name, v, q, t, t + 40_000];
}

/** The plant stood still for 25 s every 20 minutes. @param {number} us */
const inGap = (us) => (us / SECOND) % 1200 < 25;

/** @param {string} name @param {number} from @param {number} to @param {number} limit */
export function raw(name, from, to, limit) {
  const tag = tagOf(name);
  if (!tag) return null;
  const end = Math.min(to, now());
  const out = { tag: name, unit: tag.unit, kind: tag.kind, mode: 'raw', t: /** @type {number[]} */ ([]), v: /** @type {unknown[]} */ ([]), q: /** @type {number[]} */ ([]), truncated: false };
  for (let us = Math.ceil(Math.max(from, startedAt) / SECOND) * SECOND; us < end; us += SECOND) {
    if (inGap(us)) continue;
    const [, v, q, t] = tupleAt(name, us);
    if (q === 0x8031 && out.q.at(-1) === 0x8031) continue;
    if (out.t.length === limit) {
      out.truncated = true;
      break;
    }
    out.t.push(Math.max(t, us));
    out.v.push(v);
    out.q.push(q);
  }
  return out;
}

/** @param {string} name @param {number} from @param {number} to @param {number} points */
export function chart(name, from, to, points) {
  const tag = tagOf(name);
  if (!tag) return null;
  const bucket = Math.max(SECOND, Math.ceil((to - from) / points / SECOND) * SECOND);
  const out = {
    tag: name, unit: tag.unit, kind: tag.kind, mode: 'chart', bucket_us: bucket, readings: 0, good_percent: /** @type {number | null} */ (null),
    t: /** @type {number[]} */ ([]), n: /** @type {number[]} */ ([]), min: /** @type {number[]} */ ([]), max: /** @type {number[]} */ ([]), avg: /** @type {number[]} */ ([]), bad: /** @type {number[]} */ ([]),
  };
  let good = 0;
  const end = Math.min(to, now());
  for (let start = Math.floor(Math.max(from, startedAt) / bucket) * bucket; start < end; start += bucket) {
    const n = Math.min(bucket, end - start) / SECOND;
    const step = Math.max(SECOND, bucket / 16);
    const sample = [];
    let bad = 0;
    for (let us = start; us < Math.min(start + bucket, end); us += step) {
      if (inGap(us)) continue;
      const [, v, q] = tupleAt(name, us);
      if (q !== 0) bad += 1;
      if (v !== null) sample.push(Number(v));
    }
    if (sample.length === 0) continue;
    const count = Math.max(1, Math.round(n));
    const notGood = Math.round((bad / sample.length) * count);
    out.t.push(start);
    out.n.push(count);
    out.bad.push(Math.min(count, notGood));
    out.min.push(Math.min(...sample));
    out.max.push(Math.max(...sample));
    out.avg.push(sample.reduce((a, b) => a + b, 0) / sample.length);
    out.readings += count;
    good += count - Math.min(count, notGood);
  }
  out.good_percent = out.readings > 0 ? (100 * good) / out.readings : null;
  return out;
}

export function status() {
  const at = now();
  const empty = state.scenario === 'empty';
  const sources = (empty ? [] : SOURCES).map((source, i) => {
    const down = state.unplugged === source.id;
    const end = down ? state.unpluggedAt : at;
    return {
      ...source, state: down ? 'backing_off' : 'connected', since_us: down ? state.unpluggedAt : startedAt + i * SECOND, last_reading_us: end - 120_000,
      readings_total: Math.floor((end - startedAt) / SECOND) * 28, errors_total: down ? Math.floor((at - state.unpluggedAt) / 2e6) + 4 : 3 + i, readings_per_s: down ? 0 : 28 + i * 0.4,
      error: down ? 'no answer from 127.0.0.1:15020 (connection refused); next try in 4 s' : null, tags: 28, stale_tags: down ? 28 : 0,
    };
  });
  const roles = ['gateway', 'worker', 'historian', 'api'].map((role, i) => ({
    role, pid: 4200 + i, state: 'running', since_us: startedAt + i * 100_000, restarts: i === 2 ? 1 : 0, rss_bytes: (90 + i * 34) * 1024 * 1024,
  }));
  return {
    roles,
    gateways: empty ? [] : [{
      gateway: 'GW01', at_us: at, sources,
      buffer: { waiting: 112, bytes: 18_400_000, oldest_waiting_us: at - 400_000, max_bytes: 1024 ** 3 },
      link: { state: 'up', since_us: startedAt, error: null },
    }],
    kafka: null,
  };
}

export function ledger() {
  const at = now();
  const missing = state.scenario === 'missing' ? 3 : 0;
  const zero = { read: 0, waiting: 0, forwarded: 0, dropped: 0, stored: 0, rejected: 0, deduplicated: 0, repeats: 0, in_transit: 0, missing: 0, surplus: 0 };
  const rows = [];
  if (state.scenario !== 'empty') {
    for (let h = 0; h < 7; h += 1) {
      for (const [i, source] of SOURCES.entries()) {
        const hour = Math.floor((at - h * HOUR) / HOUR) * HOUR;
        const read = Math.floor((h === 0 ? at - hour : HOUR) / SECOND) * 28;
        const lost = h === 2 && i === 1 ? missing : 0;
        const waiting = h === 0 ? 38 : 0;
        const rejected = h === 1 && i === 0 ? 17 : 0;
        const repeats = h === 3 ? 42 : 0;
        rows.push({
          gateway: 'GW01', source: source.id, category: 'telemetry', hour_us: hour, read, waiting, forwarded: read - waiting, dropped: 0,
          stored: read - waiting - rejected - lost - (h === 0 ? 28 : 0), rejected, deduplicated: 0, repeats, in_transit: h === 0 ? 28 : 0, missing: lost, surplus: 0, balanced: lost === 0,
        });
      }
    }
  }
  const totals = rows.reduce((sum, row) => {
    for (const key of /** @type {(keyof typeof zero)[]} */ (Object.keys(zero))) sum[key] += row[key];
    return sum;
  }, { ...zero });
  return {
    balanced: missing === 0, at_us: at - 4 * SECOND, totals, rows, holes: missing ? [{ gateway: 'GW01', partition: 2, lo: 88213, hi: 88216 }] : [],
    proof: missing ? `${missing} of ${totals.read} readings are missing` : 'read = waiting + forwarded; forwarded = stored + rejected + deduplicated + in transit',
  };
}

const EVENTS = /** @type {const} */ ([
  ['alarm', 'LIMIT_HIGH', 'Outlet temperature above 180 °C', 4, 'TEMPERATURE', true],
  ['event', 'MODE_CHANGE', 'Controller mode changed from AUTO to MANUAL', null, 'MODE', null],
  ['alarm', 'LIMIT_LOW', 'Feed flow below 40 m³/h', 3, 'FLOW_RATE', false],
  ['event', 'UNIT_START', 'Unit started', null, '', null],
  ['alarm', 'RATE_OF_CHANGE', 'Discharge pressure rises faster than 2 bar/min', 2, 'PRESSURE', true],
  ['event', 'SOURCE_DOWN', 'Source field-broker lost its connection', null, '', null],
  ['alarm', 'MAINTENANCE', 'Feed pump due for service', 1, 'PUMP_RUNNING', true],
]);

export const events = Array.from({ length: 900 }, (_, i) => {
  const [category, type, text, severity, tag, active] = EVENTS[i % EVENTS.length] ?? EVENTS[0];
  const area = 1 + (i % 3);
  const asset = `PLANT01.AREA0${area}.UNIT_0${1 + (i % 4)}`;
  return {
    id: `0190-${i}`, category, type, time_us: now() - (i * 29 + 7) * SECOND, asset, tag, source: SOURCES[area - 1]?.id ?? '', gateway: 'GW01', text, severity, active,
    value: category === 'alarm' ? 181.4 : null, threshold: category === 'alarm' ? 180 : null, unit: category === 'alarm' ? '°C' : '',
    before: type === 'MODE_CHANGE' ? 'AUTO' : null, after: type === 'MODE_CHANGE' ? 'MANUAL' : null, actor: type === 'MODE_CHANGE' ? 'jansen' : '', attributes: {},
  };
});

export const deadLetters = Array.from({ length: 17 }, (_, i) => ({
  topic: 'telemetry.dlq', partition: i % 4, offset: 4100 + i, time_us: now() - (3600 + i * 11) * SECOND,
  reason: i % 3 === 0 ? 'not a finite number' : 'source time 1970-01-01T00:00:00Z lies before 2000', tag: 'PLANT01.AREA01.UNIT_02.PRESSURE', gateway: 'GW01', source: 'plc-line-1',
  value: i % 3 === 0 ? null : 7.31,
}));
