import 'uplot/dist/uPlot.min.css';
import { useEffect, useImperativeHandle, useMemo, useRef, useState, type KeyboardEvent, type Ref } from 'react';
import type { Locks, View } from './range';
import { align, TrendPlot, type Colors, type LineLook, type PlotEvents, type Selection } from './plot';
import { qualityBands, type Series } from './series';
import styles from './TrendsPage.module.css';

export interface ChartHandle {
  bounds: (scale: string) => [number, number] | undefined;
}

interface Props {
  lines: readonly LineLook[];
  series: readonly Series[];
  view: View;
  locks: Locks;
  zone: string;
  colors: Colors;
  selection: Selection | null;
  events: PlotEvents;
  onWidth: (width: number) => void;
  label: string;
  ref: Ref<ChartHandle>;
}

/** React's side of the canvas: keeps one plot for the same lines and hands it what changes. */
export function Chart({ lines, series, view, locks, zone, colors, selection, events, onWidth, label, ref }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const latest = useRef(events);
  const [plot, setPlot] = useState<TrendPlot | null>(null);
  useEffect(() => {
    latest.current = events;
  }, [events]);

  const look = JSON.stringify([lines, locks, zone, colors]);
  useEffect(() => {
    if (!host.current) return undefined;
    const [ls, lk, z, c] = JSON.parse(look) as [LineLook[], Locks, string, Colors];
    const through: PlotEvents = {
      onZoom: (at, factor) => latest.current.onZoom(at, factor), onPan: (share) => latest.current.onPan(share), onSelect: (s) => latest.current.onSelect(s),
      onCursor: (ms) => latest.current.onCursor(ms), onReset: () => latest.current.onReset(),
    };
    const made = new TrendPlot({ host: host.current, lines: ls, locks: lk, zone: z, colors: c, events: through });
    setPlot(made);
    return () => made.destroy();
  }, [look]);

  useEffect(() => {
    const element = host.current;
    if (!element || !plot) return undefined;
    const fit = () => {
      plot.resize(element.clientWidth, element.clientHeight);
      onWidth(plot.plotWidth());
    };
    const observer = new ResizeObserver(fit);
    observer.observe(element);
    return () => observer.disconnect();
  }, [plot, onWidth]);

  const data = useMemo(() => align(series), [series]);
  const [from, to] = [view.from / 1000, view.to / 1000];
  const held = view.live ? to : undefined;
  const bands = useMemo(() => series.map((one) => qualityBands(one, held)), [series, held]);
  useEffect(() => plot?.show(data, bands, from, to), [plot, data, bands, from, to]);
  useEffect(() => plot?.select(selection), [plot, selection]);
  useImperativeHandle(ref, () => ({ bounds: (scale) => plot?.bounds(scale) }), [plot]);

  const keyDown = (event: KeyboardEvent) => {
    if (!plot || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = plot.cursorTime() ?? (view.live ? to : (from + to) / 2);
    const by = event.shiftKey ? 10 : 1;
    if (event.key === 'ArrowLeft') plot.stepCursor(-by);
    else if (event.key === 'ArrowRight') plot.stepCursor(by);
    else if (event.key === '+' || event.key === '=') events.onZoom(at, 0.5);
    else if (event.key === '-') events.onZoom(at, 2);
    else if (event.key === 'PageUp') events.onPan(-0.5);
    else if (event.key === 'PageDown') events.onPan(0.5);
    else if (event.key === '0') events.onReset();
    else if (event.key === 'Escape') events.onSelect(null);
    else return;
    event.preventDefault();
  };
  return <div ref={host} className={styles.plot} tabIndex={0} role="application" aria-label={label} data-testid="trend" onKeyDown={keyDown} />;
}
