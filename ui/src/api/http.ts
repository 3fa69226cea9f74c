import type { Problem } from './types';

export const BASE = '/api/v1';
const UNREACHABLE = 'SERVER_UNREACHABLE';

/** An error that the server explained (RFC 9457), or that reaching it failed. */
export class ApiProblem extends Error {
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  readonly mend: string;
  readonly status: number;
  readonly request: string;
  readonly at: number;

  constructor(problem: Problem, status: number, request: string) {
    super(problem.detail || problem.title);
    this.name = 'ApiProblem';
    this.code = problem.code;
    this.title = problem.title;
    this.detail = problem.detail;
    this.mend = problem.mend;
    this.status = status;
    this.request = request;
    this.at = Date.now();
  }

  get unreachable(): boolean {
    return this.code === UNREACHABLE;
  }

  /** Everything that helps whoever is asked for help. */
  details(): string {
    return [
      `${this.code} (${this.status})`, this.title, this.detail, this.mend && `Mend: ${this.mend}`, this.request, new Date(this.at).toISOString(),
    ].filter(Boolean).join('\n');
  }
}

type Param = string | number | boolean | undefined;
export type Params = Record<string, Param | readonly string[]>;

export function withParams(path: string, params: Params): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value === undefined || value === '') continue;
    for (const one of Array.isArray(value) ? (value as readonly string[]) : [String(value)]) search.append(name, one);
  }
  const text = search.toString();
  return text ? `${path}?${text}` : path;
}

function isProblem(body: unknown): body is Problem {
  return typeof body === 'object' && body !== null && ['code', 'title', 'detail', 'mend'].every((name) => name in body);
}

async function problemOf(response: Response, request: string): Promise<ApiProblem> {
  const body: unknown = await response.json().catch(() => null);
  if (isProblem(body)) return new ApiProblem(body, response.status, request);
  // A proxy in front of a stopped server answers 502 to 504 with a page of its own.
  if (response.status >= 502 && response.status <= 504) return unreachable(request, response.status);
  const plain = { code: `HTTP_${response.status}`, title: response.statusText || 'The request failed', detail: `${request} answered ${response.status}.`, mend: '' };
  return new ApiProblem(plain, response.status, request);
}

function unreachable(request: string, status = 0): ApiProblem {
  const detail = 'The Trunkline server does not answer. The page keeps trying.';
  const mend = "Check that 'trunkline up' runs on the server and that this computer reaches it.";
  return new ApiProblem({ code: UNREACHABLE, title: 'Server unreachable', detail, mend }, status, request);
}

interface Options {
  method?: 'GET' | 'POST' | 'DELETE';
  body?: unknown;
  signal?: AbortSignal;
}

/**
 * Call the API. The caller names the shape; the server's own tests hold it to the contract.
 *
 * Throws ApiProblem when the server refuses or cannot be reached; an aborted call throws the signal's reason.
 */
export async function call(path: string, { method = 'GET', body, signal }: Options = {}): Promise<unknown> {
  const request = `${method} ${BASE}${path}`;
  const headers: Record<string, string> = { 'X-Requested-With': 'trunkline', Accept: 'application/json' };
  const init: RequestInit = { method, credentials: 'same-origin', headers };
  if (signal) init.signal = signal;
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    headers['Content-Type'] = 'application/json';
  }
  let response: Response;
  try {
    response = await fetch(BASE + path, init);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw unreachable(request);
  }
  if (!response.ok) throw await problemOf(response, request);
  return response.status === 204 ? null : ((await response.json()) as unknown);
}
