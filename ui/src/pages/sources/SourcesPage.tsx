import { Page } from '~/components/Page';
export function SourcesPage() { return <Page title="Sources">…</Page>; }
