import type { Kafka, KafkaDisk, KafkaTopic } from '~/api/types';
import { Panel } from '~/components/Page';
import { PlainTable, type PlainColumn } from '~/components/PlainTable';
import { formatBytes, formatCount, formatRate, UNKNOWN } from '~/format/number';
import { formatAge } from '~/format/time';
import { useNow } from '~/live/clock';
import styles from './SourcesPage.module.css';

interface TopicRow extends KafkaTopic {
  /** Steps that read the topic, and how many records each has yet to read. */
  readonly readers: readonly { readonly group: string; readonly behind: number }[];
}

const COLUMNS: readonly PlainColumn<TopicRow>[] = [
  { id: 'topic', header: 'Topic', cell: (row) => <span className="mono">{row.topic}</span> },
  { id: 'partitions', header: 'Partitions', align: 'right', cell: (row) => formatCount(row.partitions) },
  { id: 'records', header: 'Records kept', align: 'right', cell: (row) => formatCount(row.records) },
  { id: 'rate', header: 'Records/s', align: 'right', cell: (row) => formatRate(row.records_per_s) },
  { id: 'disk', header: 'On disk', align: 'right', cell: (row) => formatBytes(row.disk_bytes) },
  { id: 'behind', header: 'Behind', wide: true, cell: (row) => row.readers.map(({ group, behind }) => `${group} ${formatCount(behind)}`).join(', ') || UNKNOWN },
];

function Partitions({ what, names }: { what: string; names: readonly string[] }) {
  return (
    <span title={names.join(', ') || undefined}>
      <span className="dim">{what}</span> {names.length > 0 ? <strong>{formatCount(names.length)}</strong> : '0'}
    </span>
  );
}

/** Room on a broker's volume: in words where it is short (below a tenth) or out of service. */
function Disk({ disk }: { disk: KafkaDisk }) {
  const short = disk.total_bytes >= 0 && disk.free_bytes < disk.total_bytes / 10;
  const room = disk.total_bytes >= 0 ? `${formatBytes(disk.free_bytes)} of ${formatBytes(disk.total_bytes)} free` : UNKNOWN;
  return (
    <span title={`${disk.directory}: ${formatBytes(disk.used_bytes)} of topics`}>
      <span className="dim">Disk of {disk.broker}</span> {disk.online ? short ? <strong>{room}: nearly full</strong> : room : <strong>out of service</strong>}
    </span>
  );
}

/** The Kafka cluster behind the site log: copies, topics, and how far the steps that read them are. */
export function KafkaPanel({ kafka }: { kafka: Kafka }) {
  const now = useNow();
  const rows = kafka.topics.map((topic) => ({ ...topic, readers: kafka.groups.filter((group) => group.topic === topic.topic) }));
  return (
    <Panel title="Kafka" aside={<span className="dim">looked at {formatAge(kafka.at_us, now)} ago</span>} flush>
      <div className={styles.strip}>
        <span>
          <span className="dim">Brokers</span> {formatCount(kafka.brokers.length)}
          {kafka.brokers_away.length > 0 && <strong>, away: {kafka.brokers_away.join(', ')}</strong>}
        </span>
        <Partitions what="Under-replicated" names={kafka.under_replicated} />
        <Partitions what="Refusing writes" names={kafka.under_min_isr} />
        <Partitions what="Offline" names={kafka.offline} />
        {kafka.disks.map((disk) => (
          <Disk key={`${disk.broker} ${disk.directory}`} disk={disk} />
        ))}
        {kafka.faults.map((fault) => <strong key={fault}>{fault}</strong>)}
      </div>
      <PlainTable label="Topics of the site log" columns={COLUMNS} rows={rows} rowKey={(row) => row.topic} />
    </Panel>
  );
}
