import { ErrorNotice } from './ErrorNotice';
import { Page } from './Page';

/** Instead of a page that failed to load or to draw; the rest of the screen stays usable. */
export function PageError({ error, retry }: { error: unknown; retry: () => void }) {
  return (
    <Page title="This page failed">
      <ErrorNotice error={error} retry={retry} />
    </Page>
  );
}
