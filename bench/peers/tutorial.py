"""`python -m bench.peers.tutorial BOOTSTRAP TOPIC CONNINFO COUNT`: a consumer as tutorials write it.

It consumes up to 500 messages with the client's default settings, inserts them with `executemany`, commits the rows and then the offsets.
With the key of the table and ON CONFLICT DO NOTHING a repeated message is harmless. Ends when so many messages were read.
"""

import json
import sys
import time

import psycopg
from confluent_kafka import Consumer, KafkaException

from bench.peers.table import TABLE
from bench.peers.timing import Spent, timed

INSERT = f"INSERT INTO {TABLE} (tag_id, ts, value, quality) VALUES (%(tag_id)s, %(ts)s, %(value)s, %(quality)s) ON CONFLICT DO NOTHING"


def main(bootstrap: str, topic: str, conninfo: str, count: int) -> None:
    """Consume, insert, commit."""
    settings = {
        "bootstrap.servers": bootstrap,
        "group.id": f"tutorial-{time.monotonic_ns()}",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    consumer = Consumer(settings)
    consumer.subscribe([topic])
    with psycopg.connect(conninfo) as connection:
        while count > 0:
            messages = consumer.consume(500, 1.0)
            if not messages:
                continue
            rows = []
            for message in messages:
                error = message.error()
                if error is not None:
                    raise KafkaException(error)
                rows.append(json.loads(message.value() or b""))
            with connection.cursor() as cursor:
                cursor.executemany(INSERT, rows)
            connection.commit()
            consumer.commit(asynchronous=False)
            count -= len(rows)
    consumer.close()


def run(bootstrap: str, topic: str, conninfo: str, count: int) -> Spent:
    """Run the script in a process of its own."""
    return timed([sys.executable, "-m", "bench.peers.tutorial", bootstrap, topic, conninfo, str(count)])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
