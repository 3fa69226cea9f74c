import { Page } from '~/components/Page';
export function EventsPage() { return <Page title="Events">…</Page>; }
