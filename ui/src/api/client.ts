import { QueryCache, QueryClient } from '@tanstack/react-query';
import { ApiProblem } from './http';

function expired(error: unknown, key: readonly unknown[]): boolean {
  return error instanceof ApiProblem && error.status === 401 && key[0] !== 'session';
}

export const queryClient: QueryClient = new QueryClient({
  queryCache: new QueryCache({
    // A session that ended shows up in whichever call comes first; the shell then asks who is signed in.
    onError: (error, query) => {
      if (expired(error, query.queryKey)) void queryClient.invalidateQueries({ queryKey: ['session'] });
    },
  }),
  defaultOptions: {
    queries: {
      staleTime: 30_000,
      // The server restarts now and then: wait for it; what it refuses, it refuses again.
      retry: (count, error) => error instanceof ApiProblem && error.unreachable && count < 3,
      retryDelay: (attempt) => Math.min(1000 * 2 ** attempt, 5000),
      networkMode: 'always',
    },
    mutations: { networkMode: 'always', retry: false },
  },
});
