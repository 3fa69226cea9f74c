import { Page } from '~/components/Page';
export function TrendsPage() { return <Page title="Trends">…</Page>; }
