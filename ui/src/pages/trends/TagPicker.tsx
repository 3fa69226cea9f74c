import { useQuery } from '@tanstack/react-query';
import { useRef, useState } from 'react';
import { tagSearchQuery } from '~/api/queries';
import { SearchList } from '~/components/SearchList';
import { useDelayed } from '~/components/useDelayed';
import styles from './TrendsPage.module.css';

/** Field that adds a tag to the trend. */
export function TagPicker({ taken, onPick }: { taken: readonly string[]; onPick: (tag: string) => void }) {
  const [text, setText] = useState('');
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const words = useDelayed(text.trim(), 150);
  const found = useQuery({ ...tagSearchQuery(words), enabled: open });
  const choices = (found.data?.tags ?? [])
    .filter((tag) => tag.kind !== 'text' && !taken.includes(tag.tag))
    .map((tag) => ({
      key: tag.tag, label: tag.tag, note: `${tag.unit} ${tag.description}`,
      pick: () => {
        onPick(tag.tag);
        setText('');
        setOpen(false);
      },
    }));
  return (
    <div
      ref={box} className={styles.picker} title="Add a tag" onFocus={() => setOpen(true)} onClick={() => setOpen(true)}
      onBlur={(event) => !box.current?.contains(event.relatedTarget) && setOpen(false)} onKeyDown={(event) => event.key === 'Escape' && setOpen(false)}
      onMouseDown={(event) => event.target instanceof HTMLInputElement || event.preventDefault()}
    >
      <SearchList label="Add a tag" text={text} onText={setText} choices={choices} none={found.isFetching ? 'Searching' : 'No further tag matches'} open={open} popup={styles.pop} />
    </div>
  );
}
