// @vitest-environment jsdom
import { MantineProvider } from '@mantine/core';
import { act, cleanup, fireEvent, render, screen } from '@testing-library/react';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { ApiProblem } from '~/api/http';
import { ErrorNotice } from './ErrorNotice';

const problem = new ApiProblem({ code: 'TAG_UNKNOWN', title: 'Unknown tag', detail: 'There is no tag A.', mend: 'Check the name.' }, 404, 'GET /api/v1/history');

describe('an error on the screen', () => {
  beforeAll(() => {
    vi.stubGlobal('matchMedia', () => ({ matches: false, addEventListener: () => undefined, removeEventListener: () => undefined }));
  });
  afterEach(cleanup);

  const show = (error: unknown) => render(<MantineProvider><ErrorNotice error={error} /></MantineProvider>);

  it('has a code, a sentence and the mend', () => {
    show(problem);
    const text = screen.getByRole('alert').textContent;
    for (const part of ['TAG_UNKNOWN', 'There is no tag A.', 'Check the name.']) expect(text).toContain(part);
  });

  it('hands its details on', async () => {
    const written: string[] = [];
    vi.stubGlobal('navigator', { clipboard: { writeText: (text: string) => Promise.resolve(written.push(text)) } });
    show(problem);
    await act(async () => {
      fireEvent.click(screen.getByRole('button', { name: 'Copy details' }));
      await Promise.resolve();
    });
    expect(written[0]).toContain('TAG_UNKNOWN (404)');
    expect(written[0]).toContain('GET /api/v1/history');
  });

  it('gives a failure of the page a code too', () => {
    show(new TypeError('x is undefined'));
    expect(screen.getByRole('alert').textContent).toContain('PAGE_ERROR');
  });
});
