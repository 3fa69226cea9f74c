import { useEffect, useId, useRef, useState, type KeyboardEvent } from 'react';
import { cx } from './cx';
import { Field } from './Field';
import styles from './SearchList.module.css';

export interface Choice {
  key: string;
  label: string;
  note: string;
  pick: () => void;
}

interface Props {
  label: string;
  text: string;
  onText: (text: string) => void;
  choices: readonly Choice[];
  /** Said when there are no choices. */
  none: string;
  open?: boolean;
  autoFocus?: boolean;
  /** Class of the list, where it floats. */
  popup?: string | undefined;
}

/** A field with a list under it: type, arrows, Enter (WAI-ARIA combobox). */
export function SearchList({ label, text, onText, choices, none, open = true, autoFocus = false, popup }: Props) {
  const [active, setActive] = useState(0);
  const id = useId();
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (autoFocus) input.current?.focus();
  }, [autoFocus]);
  const current = Math.min(active, choices.length - 1);
  const keyDown = (event: KeyboardEvent) => {
    if (event.key === 'ArrowDown') setActive(Math.min(current + 1, choices.length - 1));
    else if (event.key === 'ArrowUp') setActive(Math.max(current - 1, 0));
    else if (event.key === 'Enter') choices[current]?.pick();
    else return;
    event.preventDefault();
  };
  return (
    <div className={styles.box}>
      <Field
        ref={input} label={label} value={text} role="combobox" aria-expanded={open} aria-controls={`${id}-list`} aria-autocomplete="list"
        aria-activedescendant={open && choices.length > 0 ? `${id}-${current}` : undefined}
        onChange={(event) => { onText(event.currentTarget.value); setActive(0); }} onKeyDown={keyDown}
      />
      {open && (
        <ul className={cx(styles.list, popup)} role="listbox" id={`${id}-list`} aria-label={label}>
          {choices.map((choice, index) => (
            <li
              key={choice.key} id={`${id}-${index}`} role="option" aria-selected={index === current} className={cx(styles.option, index === current && styles.on)}
              onPointerMove={() => setActive(index)} onClick={choice.pick}
            >
              <span>{choice.label}</span>
              <span>{choice.note}</span>
            </li>
          ))}
          {choices.length === 0 && <li className={styles.none} role="presentation">{none}</li>}
        </ul>
      )}
    </div>
  );
}
