import { TextInput } from '@mantine/core';
import { useEffect, useState } from 'react';
import { Icon } from './Icon';

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
    <TextInput
      size="xs" type="search" className={className ?? ''} aria-label={label} title={label} leftSection={<Icon name="search" size={14} />} rightSection={text === '' ? <span className="dim">{label}</span> : undefined} rightSectionWidth={text === '' ? 130 : 0} rightSectionPointerEvents="none" value={text} spellCheck={false}
      onChange={(event) => setText(event.currentTarget.value)} onKeyDown={(event) => event.key === 'Escape' && setText('')}
    />
  );
}
