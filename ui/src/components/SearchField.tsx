import { useEffect, useState } from 'react';
import { Field } from './Field';

interface Props {
  label: string;
  value: string;
  onChange: (value: string) => void;
  className?: string | undefined;
}

/** Search that lives in the address: typing is local at once, the address follows; Escape clears. */
export function SearchField({ label, value, onChange, className }: Props) {
  const [text, setText] = useState(value);
  const [known, setKnown] = useState(value);
  if (value !== known) {
    setKnown(value);
    setText(value);
  }
  useEffect(() => {
    const timer = setTimeout(() => text !== value && onChange(text), 150);
    return () => clearTimeout(timer);
  }, [text, value, onChange]);
  return (
    <Field
      type="search" label={label} className={className} value={text} onChange={(event) => setText(event.currentTarget.value)}
      onKeyDown={(event) => event.key === 'Escape' && setText('')}
    />
  );
}
