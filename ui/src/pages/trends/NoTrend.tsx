import { Button } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { tagSearchQuery } from '~/api/queries';
import { EmptyState } from '~/components/EmptyState';

/** What a trend is for, and a first one to look at. */
export function NoTrend({ onPick }: { onPick: (tags: readonly string[]) => void }) {
  const { data } = useQuery(tagSearchQuery(''));
  const some = (data?.tags ?? []).filter((tag) => tag.kind === 'double').slice(0, 3);
  return (
    <EmptyState title="No tags picked">
      <p>
        Here stand up to eight tags over time: live or any stretch of their history. Add them in the field above, or tick them on the <Link to="/values">Values</Link> page.
      </p>
      {some.length > 0 && (
        <p style={{ marginTop: 12 }}>
          <Button size="compact-sm" variant="default" onClick={() => onPick(some.map((tag) => tag.tag))}>
            Show the first {some.length === 1 ? 'tag' : `${some.length} tags`}
          </Button>
        </p>
      )}
    </EmptyState>
  );
}
