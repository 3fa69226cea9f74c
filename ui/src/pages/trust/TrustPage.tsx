import { Page } from '~/components/Page';
export function TrustPage() { return <Page title="Trust">…</Page>; }
