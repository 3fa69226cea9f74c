import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useEffect, useRef, useState } from 'react';
import { tagSearchQuery } from '~/api/queries';
import { PAGES } from '~/app/pages';
import { SearchList, type Choice } from '~/components/SearchList';
import { useDelayed } from '~/components/useDelayed';
import styles from './SearchDialog.module.css';

/** Ctrl-K: pages at once, tags as the server finds them. */
export function SearchDialog({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [text, setText] = useState('');
  const wanted = useDelayed(text.trim(), 150);
  const navigate = useNavigate();
  const tags = useQuery({ ...tagSearchQuery(wanted), enabled: wanted !== '' });
  useEffect(() => dialog.current?.showModal(), []);
  const words = text.trim().toLowerCase();
  const go = (action: () => Promise<void>) => () => {
    onClose();
    void action();
  };
  const pages: Choice[] = PAGES.filter((page) => `${page.label} ${page.words}`.toLowerCase().includes(words)).map((page) => ({
    key: page.to, label: page.label, note: 'page', pick: go(() => navigate({ to: page.to })),
  }));
  const found: Choice[] = (words === '' ? [] : (tags.data?.tags ?? [])).map((tag) => ({
    key: tag.tag, label: tag.tag, note: tag.description, pick: go(() => navigate({ to: '/values', search: { q: tag.tag, tag: tag.tag } })),
  }));
  return (
    <dialog ref={dialog} className={styles.dialog} aria-label="Search" onClose={onClose} onClick={(event) => event.target === dialog.current && onClose()}>
      <SearchList
        label="Search tags and pages" autoFocus text={text} onText={setText} choices={[...pages, ...found]}
        none={tags.isFetching ? 'Searching' : 'Nothing found: try a part of the tag path or of its description'}
      />
    </dialog>
  );
}
