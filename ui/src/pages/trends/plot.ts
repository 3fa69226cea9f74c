import uPlot from 'uplot';
import type { Kind } from '~/api/types';
import { formatValue } from '~/format/number';
import type { Locks } from './range';
import { indexBefore, type QualityBand, type Series } from './series';

/** Lines tell themselves apart by colour and by dashes. */
export const DASHES: readonly (readonly number[])[] = [[], [8, 4], [2, 3], [10, 3, 2, 3], [14, 4], [5, 2, 2, 2, 2, 2], [4, 4], [1, 3]];

export interface LineLook {
  tag: string;
  unit: string;
  kind: Kind;
  color: string;
}

export interface Colors {
  scheme: string;
  text: string;
  dim: string;
  grid: string;
  line: string;
  selected: string;
  uncertain: string;
  bad: string;
}

export interface Selection {
  from: number;
  to: number;
}

export const BAND_HEIGHT = 8;
const SERIES_PER_LINE = 3;
const STATE_SCALE = 'state';
const RIGHT = 1;
const LEFT = 3;

/** Lines of one unit share an axis; on/off lines have one of their own. */
export function scaleOf(line: { unit: string; kind: Kind }): string {
  return line.kind === 'boolean' ? STATE_SCALE : `y ${line.unit}`;
}

function translucent(color: string): string {
  return `color-mix(in srgb, ${color} 22%, transparent)`;
}

/** One table for all lines: [x, lo, hi, line, lo, hi, line, …]. Times that a line lacks are undefined, its gaps null. */
export function align(series: readonly Series[]): uPlot.AlignedData {
  const tables = series.map((s) => [s.t, s.lo, s.hi, s.line] as uPlot.AlignedData);
  if (tables.length === 0) return [[]];
  if (tables.length === 1) return tables[0] ?? [[]];
  return uPlot.join(tables, tables.map((table) => table.map(() => 1)));
}

function makeSeries(lines: readonly LineLook[]): uPlot.Series[] {
  const stepped = uPlot.paths.stepped?.({ align: 1 });
  return lines.flatMap((line, index) => {
    const scale = scaleOf(line);
    const edge: uPlot.Series = { scale, stroke: 'transparent', width: 1, points: { show: false } };
    const main: uPlot.Series = { scale, stroke: line.color, width: 1.5, dash: [...(DASHES[index] ?? [])], points: { size: 4, fill: line.color } };
    return [edge, edge, stepped && line.kind === 'boolean' ? { ...main, paths: stepped } : main];
  });
}

function makeScales(lines: readonly LineLook[], locks: Locks): Record<string, uPlot.Scale> {
  const scales: Record<string, uPlot.Scale> = { x: { time: true, auto: false } };
  for (const line of lines) {
    const locked = locks[line.unit];
    if (line.kind === 'boolean') scales[STATE_SCALE] = { range: [-0.15, 1.15] };
    else if (locked) scales[scaleOf(line)] = { range: [locked[0], locked[1]] };
    else scales[scaleOf(line)] = { range: (_, min, max) => padded(min, max) };
  }
  return scales;
}

/** Room above and below; a flat line gets a band of its own size, and an empty plot a unit. */
export function padded(min: number | null, max: number | null): [number, number] {
  if (min === null || max === null || !Number.isFinite(min) || !Number.isFinite(max)) return [0, 1];
  const pad = max > min ? (max - min) * 0.06 : Math.abs(max) * 0.05 || 1;
  return [min - pad, max + pad];
}

function makeAxes(lines: readonly LineLook[], colors: Colors): uPlot.Axis[] {
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const common = { stroke: colors.dim, font, ticks: { stroke: colors.line, width: 1, size: 4 } };
  const x: uPlot.Axis = {
    ...common, grid: { stroke: colors.grid, width: 1 }, space: 80, size: 42,
    values: [
      [365 * 864e5, '{YYYY}', null, null, null, null, null, null, 1],
      [28 * 864e5, '{YYYY}-{MM}', null, null, null, null, null, null, 1],
      [864e5, '{MM}-{DD}', '\n{YYYY}', null, null, null, null, null, 1],
      [60e3, '{HH}:{mm}', '\n{YYYY}-{MM}-{DD}', null, '\n{MM}-{DD}', null, null, null, 1],
      [1000, '{HH}:{mm}:{ss}', '\n{YYYY}-{MM}-{DD}', null, '\n{MM}-{DD}', null, null, null, 1],
      [1, '{ss}.{fff}', '\n{YYYY}-{MM}-{DD} {HH}:{mm}', null, '\n{MM}-{DD} {HH}:{mm}', null, '\n{HH}:{mm}', null, 1],
    ],
  };
  const scales = [...new Set(lines.map(scaleOf))];
  const ys = scales.map((scale, index): uPlot.Axis => {
    const users = lines.filter((line) => scaleOf(line) === scale);
    const [first] = users;
    const color = users.length === 1 && first ? first.color : colors.text;
    return {
      ...common, scale, stroke: color,
      // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- the enum exists in uPlot's types only, not at run time
      side: index % 2 === 0 ? LEFT : RIGHT,
      grid: { show: index === 0, stroke: colors.grid, width: 1 },
      label: scale === STATE_SCALE ? 'state' : (first?.unit ?? ''), labelSize: 18, labelFont: font, labelGap: 0,
      size: (_, values) => 12 + 7.2 * Math.max(3, ...((values as string[] | null) ?? []).map((text) => text.length)),
      ...(scale === STATE_SCALE ? { splits: [0, 1], values: () => ['off', 'on'] } : { values: (_, splits, __, ___, step) => splits.map((v) => tick(v, step)) }),
    };
  });
  return [x, ...ys];
}

/** A tick with as many digits as its step has: steps of 2.5 need one. */
export function tick(value: number, step: number): string {
  let digits = 0;
  while (digits < 6 && Math.abs(step * 10 ** digits - Math.round(step * 10 ** digits)) > 1e-6) digits += 1;
  return formatValue(value, 'double', digits);
}

export interface PlotEvents {
  /** Zoom by a factor at a moment (ms). */
  onZoom: (at: number, factor: number) => void;
  /** Pan by a share of the span. */
  onPan: (share: number) => void;
  onSelect: (selection: Selection | null) => void;
  onCursor: (ms: number | null) => void;
  onReset: () => void;
}

interface PlotOptions {
  host: HTMLElement;
  lines: readonly LineLook[];
  locks: Locks;
  zone: string;
  colors: Colors;
  events: PlotEvents;
}

/** The canvas. It knows how to draw and which gesture means what; what follows from a gesture is decided outside. */
export class TrendPlot {
  private readonly u: uPlot;
  private bands: readonly (readonly QualityBand[])[] = [];
  private selection: Selection | null = null;
  private readonly stopGestures: () => void;

  constructor(private readonly options: PlotOptions) {
    const { host, lines, locks, zone, colors, events } = options;
    const edges = lines.map((_, i): uPlot.Band => ({
      series: [SERIES_PER_LINE * i + 2, SERIES_PER_LINE * i + 1], fill: translucent(lines[i]?.color ?? colors.dim),
    }));
    const draw = (u: uPlot) => {
      this.drawBands(u);
      this.drawSelection(u);
    };
    this.u = new uPlot(
      {
        width: host.clientWidth, height: host.clientHeight, ms: 1, tzDate: (ms) => uPlot.tzDate(new Date(ms), zone), padding: [10, null, BAND_HEIGHT * lines.length + 6, null],
        legend: { show: false }, scales: makeScales(lines, locks), axes: makeAxes(lines, colors), series: [{}, ...makeSeries(lines)], bands: edges,
        cursor: { y: false, drag: { x: false, y: false, setScale: false }, points: { show: false }, bind: { dblclick: () => () => null } },
        hooks: { draw: [draw], setCursor: [(u) => events.onCursor(typeof u.cursor.left === 'number' && u.cursor.left >= 0 ? u.posToVal(u.cursor.left, 'x') : null)] },
      },
      [[]],
      host,
    );
    this.stopGestures = this.listen();
  }

  show(data: uPlot.AlignedData, bands: readonly (readonly QualityBand[])[], from: number, to: number): void {
    this.bands = bands;
    this.u.batch(() => {
      this.u.setData(data, false);
      this.u.setScale('x', { min: from, max: to });
    });
  }

  select(selection: Selection | null): void {
    this.selection = selection;
    this.u.redraw(false, false);
  }

  resize(width: number, height: number): void {
    if (width > 0 && height > 0) this.u.setSize({ width, height });
  }

  plotWidth(): number {
    return this.u.over.clientWidth;
  }

  /** Bounds of a y axis as drawn, or undefined before there is data. */
  bounds(scale: string): [number, number] | undefined {
    const { min, max } = this.u.scales[scale] ?? {};
    return typeof min === 'number' && typeof max === 'number' ? [min, max] : undefined;
  }

  /** Put the cursor on the next point before (-1) or after (+1) the present one. */
  stepCursor(by: number): void {
    const [x] = this.u.data;
    const { min, max } = this.u.scales.x ?? {};
    if (typeof min !== 'number' || typeof max !== 'number') return;
    const times = x as number[];
    const left = this.u.cursor.left ?? -1;
    const at = left >= 0 ? this.u.posToVal(left, 'x') : by > 0 ? min : max;
    // A position is a whole pixel: half a pixel decides what counts as the same point.
    const pixel = (max - min) / Math.max(1, this.plotWidth()) / 2;
    const index = by > 0 ? indexBefore(times, at + pixel) + by : indexBefore(times, at - pixel) + by + 1;
    const time = times[Math.min(times.length - 1, Math.max(0, index))];
    if (time === undefined || time < min || time > max) return;
    this.u.setCursor({ left: this.u.valToPos(time, 'x'), top: 10 });
  }

  cursorTime(): number | null {
    const left = this.u.cursor.left ?? -1;
    return left >= 0 ? this.u.posToVal(left, 'x') : null;
  }

  destroy(): void {
    this.stopGestures();
    this.u.destroy();
  }

  private drawBands(u: uPlot): void {
    const { colors, lines } = this.options;
    const ratio = devicePixelRatio;
    const height = (BAND_HEIGHT - 3) * ratio;
    const { left, width } = u.bbox;
    const { ctx } = u;
    ctx.save();
    lines.forEach((line, index) => {
      const top = u.ctx.canvas.height - (lines.length - index) * BAND_HEIGHT * ratio;
      ctx.fillStyle = line.color;
      ctx.fillRect(left - 14 * ratio, top + height / 2 - ratio, 10 * ratio, 2 * ratio);
      ctx.fillStyle = colors.grid;
      ctx.fillRect(left, top + height - ratio, width, ratio);
      for (const band of this.bands[index] ?? []) {
        const x0 = Math.max(left, u.valToPos(band.from, 'x', true));
        const x1 = Math.min(left + width, u.valToPos(band.to, 'x', true));
        if (x1 < left || x0 > left + width) continue;
        const tall = height * Math.max(0.35, band.share);
        ctx.fillStyle = band.severity === 'bad' ? colors.bad : colors.uncertain;
        ctx.fillRect(x0, top + height - tall, Math.max(ratio, x1 - x0), tall);
      }
    });
    ctx.restore();
  }

  private drawSelection(u: uPlot): void {
    if (!this.selection) return;
    const { left, width, top, height } = u.bbox;
    const x0 = Math.max(left, u.valToPos(this.selection.from, 'x', true));
    const x1 = Math.min(left + width, u.valToPos(this.selection.to, 'x', true));
    if (x1 <= x0) return;
    u.ctx.save();
    u.ctx.fillStyle = this.options.colors.selected;
    u.ctx.fillRect(x0, top, x1 - x0, height);
    u.ctx.restore();
  }

  private listen(): () => void {
    const { over } = this.u;
    const { events } = this.options;
    const momentOf = (event: MouseEvent) => this.u.posToVal(event.clientX - over.getBoundingClientRect().left, 'x');
    const wheel = (event: WheelEvent) => {
      event.preventDefault();
      const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 33 : 1;
      events.onZoom(momentOf(event), Math.exp(Math.max(-300, Math.min(300, event.deltaY * lines)) * 0.0015));
    };
    const down = (event: PointerEvent) => {
      if (event.button !== 0) return;
      over.setPointerCapture(event.pointerId);
      const start = momentOf(event);
      let x = event.clientX;
      const move = (next: PointerEvent) => {
        if (event.shiftKey) {
          const at = momentOf(next);
          events.onSelect({ from: Math.min(start, at), to: Math.max(start, at) });
        } else {
          events.onPan((x - next.clientX) / Math.max(1, over.clientWidth));
          x = next.clientX;
        }
      };
      const up = (last: PointerEvent) => {
        over.removeEventListener('pointermove', move);
        over.removeEventListener('pointerup', up);
        over.removeEventListener('pointercancel', up);
        if (!event.shiftKey && Math.abs(last.clientX - event.clientX) < 3) events.onSelect(null);
      };
      over.addEventListener('pointermove', move);
      over.addEventListener('pointerup', up);
      over.addEventListener('pointercancel', up);
    };
    const reset = () => events.onReset();
    over.addEventListener('wheel', wheel, { passive: false });
    over.addEventListener('pointerdown', down);
    over.addEventListener('dblclick', reset);
    return () => {
      over.removeEventListener('wheel', wheel);
      over.removeEventListener('pointerdown', down);
      over.removeEventListener('dblclick', reset);
    };
  }
}
