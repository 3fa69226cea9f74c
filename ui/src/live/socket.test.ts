import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LiveSocket, type Wire, type WireEvents } from './socket';

class TestWire implements Wire {
  sent: { op: string; tags: string[] }[] = [];
  closed = false;
  constructor(readonly events: WireEvents) {}
  send(text: string): void {
    this.sent.push(JSON.parse(text) as { op: string; tags: string[] });
  }
  close(): void {
    this.closed = true;
  }
}

function setUp() {
  const wires: TestWire[] = [];
  const calls = { onFrame: vi.fn(), onRefused: vi.fn(), onForget: vi.fn() };
  const socket = new LiveSocket({
    open: (events) => {
      const wire = new TestWire(events);
      wires.push(wire);
      return wire;
    },
    ...calls,
  });
  const last = () => {
    const wire = wires.at(-1);
    if (!wire) throw new Error('no connection was opened');
    return wire;
  };
  return { socket, wires, last, ...calls };
}

describe('LiveSocket', () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it('asks once for a tag that two parts of the page want, and gives it back when both left', () => {
    const { socket, last, onForget } = setUp();
    socket.start();
    last().events.opened();
    const release = [socket.want(['A', 'B']), socket.want(['A'])];
    vi.advanceTimersByTime(1);
    expect(last().sent).toEqual([{ op: 'subscribe', tags: ['A', 'B'] }]);
    release[0]?.();
    vi.advanceTimersByTime(5000);
    expect(last().sent.at(-1)).toEqual({ op: 'unsubscribe', tags: ['B'] });
    release[1]?.();
    release[1]?.();
    vi.advanceTimersByTime(5000);
    expect(last().sent.at(-1)).toEqual({ op: 'unsubscribe', tags: ['A'] });
    expect(onForget).toHaveBeenLastCalledWith(['A']);
  });

  it('reconnects with growing waits and asks for everything again', () => {
    const { socket, wires, last } = setUp();
    socket.start();
    socket.want(['A']);
    last().events.opened();
    vi.advanceTimersByTime(1);
    last().events.closed(1006);
    expect(socket.current().state).toBe('lost');
    vi.advanceTimersByTime(500);
    expect(wires).toHaveLength(2);
    last().events.closed(1006);
    vi.advanceTimersByTime(499);
    expect(wires).toHaveLength(2);
    vi.advanceTimersByTime(501);
    expect(wires).toHaveLength(3);
    last().events.opened();
    expect(socket.current().state).toBe('open');
    expect(last().sent).toEqual([{ op: 'subscribe', tags: ['A'] }]);
  });

  it('gives up a connection that has gone silent', () => {
    const { socket, wires, last } = setUp();
    socket.start();
    last().events.opened();
    last().events.message('{"type":"values","values":[]}');
    vi.advanceTimersByTime(12_001);
    expect(wires[0]?.closed).toBe(true);
    expect(socket.current().state).toBe('lost');
    expect(socket.current().lastFrame).not.toBeNull();
  });

  it('asks who is signed in when the server refuses', () => {
    const { socket, last, onRefused } = setUp();
    socket.start();
    last().events.closed(4401);
    expect(onRefused).toHaveBeenCalledOnce();
  });

  it('stays quiet after a stop', () => {
    const { socket, wires, last } = setUp();
    socket.start();
    last().events.opened();
    socket.stop();
    vi.advanceTimersByTime(60_000);
    expect(wires).toHaveLength(1);
    expect(wires[0]?.closed).toBe(true);
  });
});
