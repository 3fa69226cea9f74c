import { createRootRoute, createRoute, createRouter, lazyRouteComponent, Outlet } from '@tanstack/react-router';
import { eventsSearch, signInSearch, sourcesSearch, trendsSearch, trustSearch, valuesSearch } from '~/pages/search';
import { PageError } from '~/components/PageError';
import { parseSearch, stringifySearch } from './address';
import { NotFound } from './NotFound';
import { Shell } from './shell/Shell';

const root = createRootRoute({ component: Outlet, notFoundComponent: NotFound });

const signIn = createRoute({
  getParentRoute: () => root,
  path: '/signin',
  validateSearch: signInSearch,
  component: lazyRouteComponent(() => import('~/pages/signin/SignInPage'), 'SignInPage'),
});

const shell = createRoute({ getParentRoute: () => root, id: 'shell', component: Shell });

const overview = createRoute({
  getParentRoute: () => shell,
  path: '/',
  component: lazyRouteComponent(() => import('~/pages/overview/OverviewPage'), 'OverviewPage'),
});

const values = createRoute({
  getParentRoute: () => shell,
  path: '/values',
  validateSearch: valuesSearch,
  component: lazyRouteComponent(() => import('~/pages/values/ValuesPage'), 'ValuesPage'),
});

const trends = createRoute({
  getParentRoute: () => shell,
  path: '/trends',
  validateSearch: trendsSearch,
  component: lazyRouteComponent(() => import('~/pages/trends/TrendsPage'), 'TrendsPage'),
});

const events = createRoute({
  getParentRoute: () => shell,
  path: '/events',
  validateSearch: eventsSearch,
  component: lazyRouteComponent(() => import('~/pages/events/EventsPage'), 'EventsPage'),
});

const sources = createRoute({
  getParentRoute: () => shell,
  path: '/sources',
  validateSearch: sourcesSearch,
  component: lazyRouteComponent(() => import('~/pages/sources/SourcesPage'), 'SourcesPage'),
});

const trust = createRoute({
  getParentRoute: () => shell,
  path: '/trust',
  validateSearch: trustSearch,
  component: lazyRouteComponent(() => import('~/pages/trust/TrustPage'), 'TrustPage'),
});

export const router = createRouter({
  routeTree: root.addChildren([signIn, shell.addChildren([overview, values, trends, events, sources, trust])]),
  parseSearch,
  stringifySearch,
  defaultPreload: 'intent',
  defaultErrorComponent: ({ error, reset }) => <PageError error={error} retry={reset} />,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
