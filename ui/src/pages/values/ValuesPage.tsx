import { Page } from '~/components/Page';
export function ValuesPage() { return <Page title="Values">…</Page>; }
