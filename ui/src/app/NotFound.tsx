import { Link } from '@tanstack/react-router';
import { EmptyState } from '~/components/EmptyState';

export function NotFound() {
  return (
    <EmptyState title="There is no page at this address">
      The link may be old or mistyped. <Link to="/">Go to the overview</Link>, or press Ctrl-K to search.
    </EmptyState>
  );
}
