import { ActionIcon, Button } from '@mantine/core';
import type { ReactNode } from 'react';
import { Icon, type IconName } from '~/components/Icon';
import { DAY, formatSpan, HOUR, MINUTE } from '~/format/time';
import { serverNow } from '~/live/clock';
import { pan, zoom, type View } from './range';
import styles from './TrendsPage.module.css';

const SPANS = [5 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY];

interface Props {
  picker: ReactNode;
  view: View;
  home: View;
  change: (next: (view: View, now: number) => View) => void;
  show: (view: View) => void;
  onExport: () => void;
}

function Tool({ icon, label, onClick }: { icon: IconName; label: string; onClick: () => void }) {
  return (
    <ActionIcon size={28} variant="default" aria-label={label} title={label} onClick={onClick}>
      <Icon name={icon} size={14} />
    </ActionIcon>
  );
}

export function Tools({ picker, view, home, change, show, onExport }: Props) {
  const span = view.to - view.from;
  const upToNow = (length: number) => {
    const now = serverNow();
    show({ from: now - length, to: now, live: true });
  };
  const middle = (old: View) => (old.live ? old.to : (old.from + old.to) / 2);
  return (
    <>
      {picker}
      <div className={styles.spans} role="group" aria-label="Span">
        {SPANS.map((length) => (
          <Button
            key={length} size="compact-sm" variant={view.live && Math.abs(span - length) < 1000 ? 'light' : 'default'} onClick={() => upToNow(length)}
            aria-pressed={view.live && Math.abs(span - length) < 1000}
          >
            {formatSpan(length)}
          </Button>
        ))}
      </div>
      <Button size="compact-sm" variant={view.live ? 'light' : 'default'} aria-pressed={view.live} onClick={() => (view.live ? show({ ...view, live: false }) : upToNow(span))}>
        Live
      </Button>
      <div className={styles.spans} role="group" aria-label="Move">
        <Tool icon="left" label="Earlier" onClick={() => change((old) => pan(old, -0.5))} />
        <Tool icon="chevron" label="Later" onClick={() => change((old) => pan(old, 0.5))} />
        <Tool icon="plus" label="Zoom in" onClick={() => change((old, now) => zoom(old, middle(old), 0.5, now))} />
        <Tool icon="minus" label="Zoom out" onClick={() => change((old, now) => zoom(old, middle(old), 2, now))} />
        <Tool icon="reset" label="Back to the first view" onClick={() => show(home)} />
        <Tool icon="download" label="Save what is shown as CSV" onClick={onExport} />
      </div>
    </>
  );
}
