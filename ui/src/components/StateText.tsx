import type { RoleState, SourceState } from '~/api/types';
import { Priority, type PriorityLevel } from './Priority';

type State = SourceState | RoleState | 'up' | 'down';

/** How bad a state is; undefined is normal, which has no colour. */
const LEVELS: Record<State, PriorityLevel | undefined> = {
  connected: undefined, waiting: 'medium', connecting: 'medium', backing_off: 'high', misconfigured: 'high', stopped: 'medium',
  running: undefined, starting: 'medium', failing: 'high', up: undefined, down: 'high',
};

const WORDS: Partial<Record<State, string>> = { waiting: 'waits for its turn', backing_off: 'waiting to retry', misconfigured: 'wrongly configured' };

export function levelOfState(state: State): PriorityLevel | undefined {
  return LEVELS[state];
}

export function StateText({ state }: { state: State }) {
  const level = LEVELS[state];
  return (
    <span style={{ display: 'inline-flex', gap: 6, alignItems: 'center' }}>
      {level && <Priority level={level} bare />}
      <span className={level ? undefined : 'dim'}>{WORDS[state] ?? state}</span>
    </span>
  );
}
