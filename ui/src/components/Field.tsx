import type { ComponentProps } from 'react';
import { cx } from './cx';
import styles from './Field.module.css';
import { Icon } from './Icon';

interface Props extends ComponentProps<'input'> {
  label: string;
  value: string;
}

/** A one-line search field that says what it is for while it is empty. */
export function Field({ label, className, ...input }: Props) {
  return (
    <div className={cx(styles.field, className)}>
      <input type="text" className={styles.input} aria-label={label} autoComplete="off" spellCheck={false} {...input} />
      {input.value === '' && (
        <span className={styles.hint} aria-hidden="true">
          <Icon name="search" size={14} />
          {label}
        </span>
      )}
    </div>
  );
}

interface SelectProps<T extends string> {
  label: string;
  value: T;
  choices: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
}

export function Select<T extends string>({ label, value, choices, onChange }: SelectProps<T>) {
  const change = (chosen: string) => {
    const found = choices.find(([one]) => one === chosen);
    if (found) onChange(found[0]);
  };
  return (
    <select className={styles.select} aria-label={label} title={label} value={value} onChange={(event) => change(event.currentTarget.value)}>
      {choices.map(([one, words]) => (
        <option key={one} value={one}>
          {words}
        </option>
      ))}
    </select>
  );
}
