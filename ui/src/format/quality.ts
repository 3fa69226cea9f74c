import type { Severity } from '~/api/types';

/** Name and words of each quality; the same table as trunkline.model.quality, held to it by quality.test.ts. */
const QUALITIES = new Map<number, readonly [name: string, reason: string]>([
  [0x0000, ['GOOD', 'good']],
  [0x0096, ['GOOD_OVERRIDE', 'manual value']],
  [0x0030, ['GOOD_CLAMPED', 'clamped']],
  [0x4000, ['UNCERTAIN', 'uncertain']],
  [0x4090, ['UNCERTAIN_STALE', 'stale']],
  [0x4092, ['UNCERTAIN_INITIAL', 'initial value']],
  [0x4093, ['UNCERTAIN_SENSOR', 'sensor not accurate']],
  [0x4094, ['UNCERTAIN_RANGE', 'near or beyond the range']],
  [0x4f01, ['UNCERTAIN_NO_SOURCE_TIME', 'no source time']],
  [0x4f02, ['UNCERTAIN_CLOCK_SKEW', 'clock skew']],
  [0x4f03, ['UNCERTAIN_SUSPECT_RATE', 'suspect rate of change']],
  [0x4f04, ['UNCERTAIN_GAP', 'after a gap']],
  [0x4f05, ['UNCERTAIN_SIMULATED', 'simulated']],
  [0x4f06, ['UNCERTAIN_TIME', 'time known roughly']],
  [0x4f07, ['UNCERTAIN_FROZEN', 'frozen']],
  [0x4f08, ['UNCERTAIN_SPIKE', 'spike']],
  [0x4f09, ['UNCERTAIN_IMPLAUSIBLE', 'contradicts other tags']],
  [0x8000, ['BAD', 'bad']],
  [0x8007, ['BAD_DECODING', 'cannot be decoded']],
  [0x800a, ['BAD_TIMEOUT', 'timeout']],
  [0x8031, ['BAD_COMMS_LOST', 'communication lost']],
  [0x8032, ['BAD_WAITING', 'waiting for first value']],
  [0x8034, ['BAD_UNKNOWN_ADDRESS', 'address unknown to the device']],
  [0x803c, ['BAD_OUT_OF_RANGE', 'out of range']],
  [0x8074, ['BAD_TYPE', 'wrong type']],
  [0x8089, ['BAD_CONFIGURATION', 'configuration error']],
  [0x808a, ['BAD_NOT_CONNECTED', 'not connected']],
  [0x808b, ['BAD_DEVICE_FAULT', 'device fault']],
  [0x808c, ['BAD_SENSOR_FAULT', 'sensor fault']],
  [0x808d, ['BAD_OUT_OF_SERVICE', 'out of service']],
  [0x8f01, ['BAD_NOT_FINITE', 'not a finite number']],
  [0x8f02, ['BAD_TIME', 'impossible time']],
  [0x8f03, ['BAD_SUSPECT_RATE', 'impossible rate of change']],
  [0x8f07, ['BAD_FROZEN', 'frozen']],
  [0x8f08, ['BAD_SPIKE', 'spike']],
  [0x8f09, ['BAD_IMPLAUSIBLE', 'contradicts other tags']],
]);

const SEVERITIES: readonly Severity[] = ['good', 'uncertain', 'bad', 'bad'];
const STALE = new Set([0x4090, 0x8031, 0x808a]);
const MANUAL = 0x0096;
const SIMULATED = 0x4f05;

export interface QualityLook {
  severity: Severity;
  name: string;
  reason: string;
  /** The device has been silent: the value is old, whatever it says. */
  stale: boolean;
  /** Sign beside the number: nothing when good, ? uncertain, ✕ bad, M manual, S simulated. */
  mark: '' | '?' | '✕' | 'M' | 'S';
}

/** Severity from the two leading bits; the reserved pattern counts as bad. */
export function severityOf(quality: number): Severity {
  return SEVERITIES[(quality >> 14) & 3] ?? 'bad';
}

function markOf(quality: number, severity: Severity): QualityLook['mark'] {
  if (quality === MANUAL) return 'M';
  if (quality === SIMULATED) return 'S';
  if (severity === 'bad') return '✕';
  return severity === 'uncertain' ? '?' : '';
}

/** How a quality is shown; an unnamed code gives its severity and number. */
export function describeQuality(quality: number): QualityLook {
  const severity = severityOf(quality);
  const code = `0x${quality.toString(16).toUpperCase().padStart(4, '0')}`;
  const [name, reason] = QUALITIES.get(quality) ?? [code, `${severity} ${code}`];
  return { severity, name, reason, stale: STALE.has(quality), mark: markOf(quality, severity) };
}
