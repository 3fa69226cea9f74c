import { useQuery } from '@tanstack/react-query';
import { Outlet, useRouter } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { ApiProblem } from '~/api/http';
import { sessionQuery, siteQuery } from '~/api/queries';
import { ErrorNotice } from '~/components/ErrorNotice';
import { Page } from '~/components/Page';
import { startLive, useLink } from '~/live/live';
import { Banner } from './Banner';
import { Rail } from './Rail';
import { SearchDialog } from './SearchDialog';
import { TopBar } from './TopBar';
import { useKeys } from './useKeys';
import styles from './Shell.module.css';

/** Lets nobody in without a session; keeps what is on the screen while the server is away. */
export function Shell() {
  const session = useQuery({
    ...sessionQuery,
    refetchInterval: (query) => (query.state.error instanceof ApiProblem && query.state.error.unreachable ? 3000 : false),
  });
  const refused = session.error instanceof ApiProblem && session.error.status === 401;
  if (refused) return <ToSignIn />;
  if (session.data) return <Frame />;
  if (session.error) {
    return (
      <Page title="Trunkline">
        <ErrorNotice error={session.error} retry={() => void session.refetch()} />
      </Page>
    );
  }
  return null;
}

/** Goes once: while the sign-in page is being loaded the address is that page's already, and must not be carried along. */
function ToSignIn() {
  const router = useRouter();
  useEffect(() => {
    const { href, pathname } = router.state.location;
    if (pathname !== '/signin') void router.navigate({ to: '/signin', search: href === '/' ? {} : { next: href }, replace: true });
  }, [router]);
  return null;
}

function Frame() {
  const [searching, setSearching] = useState(false);
  const link = useLink();
  useQuery(siteQuery);
  useEffect(startLive, []);
  useEffect(() => {
    document.documentElement.dataset.link = link.state;
  }, [link.state]);
  useKeys({ search: () => setSearching(true) });
  return (
    <div className={styles.shell}>
      <a className={styles.skip} href="#content">
        Skip to the page
      </a>
      <TopBar onSearch={() => setSearching(true)} />
      <Banner />
      <Rail />
      <div className={styles.main}>
        <Outlet />
      </div>
      {searching && <SearchDialog onClose={() => setSearching(false)} />}
    </div>
  );
}
