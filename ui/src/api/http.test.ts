import { afterEach, describe, expect, it, vi } from 'vitest';
import { type ApiProblem, call, withParams } from './http';

function answer(response: Response | Error): void {
  vi.stubGlobal('fetch', () => (response instanceof Error ? Promise.reject(response) : Promise.resolve(response)));
}

async function failure(): Promise<ApiProblem> {
  return call('/tags').then(
    () => { throw new Error('the call succeeded'); },
    (error: unknown) => error as ApiProblem,
  );
}

afterEach(() => vi.unstubAllGlobals());

describe('call', () => {
  it('gives the body of a good answer', async () => {
    answer(Response.json({ total: 1 }));
    expect(await call('/tags')).toEqual({ total: 1 });
  });

  it('gives the code, the sentence and the mend of a problem', async () => {
    answer(Response.json({ code: 'TAG_UNKNOWN', title: 'Unknown tag', detail: 'There is no tag A.', mend: 'Check the name.' }, { status: 404 }));
    const problem = await failure();
    expect(problem).toMatchObject({ code: 'TAG_UNKNOWN', detail: 'There is no tag A.', mend: 'Check the name.', status: 404, unreachable: false });
    expect(problem.details()).toContain('TAG_UNKNOWN (404)');
    expect(problem.details()).toContain('GET /api/v1/tags');
  });

  it('knows a server that does not answer from one that refuses', async () => {
    answer(new TypeError('fetch failed'));
    expect((await failure()).unreachable).toBe(true);
    answer(new Response('<h1>Bad gateway</h1>', { status: 502 }));
    expect((await failure()).unreachable).toBe(true);
    answer(new Response('oops', { status: 500 }));
    expect(await failure()).toMatchObject({ code: 'HTTP_500', unreachable: false });
  });
});

describe('withParams', () => {
  it('repeats lists and leaves out what is empty', () => {
    expect(withParams('/latest', { tag: ['A', 'B'], under: '', limit: undefined, n: 0 })).toBe('/latest?tag=A&tag=B&n=0');
    expect(withParams('/latest', {})).toBe('/latest');
  });
});
