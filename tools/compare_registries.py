"""Compares our compatibility verdicts with another registry's (Confluent, Karapace, Apicurio): `compare_registries.py URL`.

For each golden case of tests/log/compatibility, and for each with reader and writer exchanged, the writer's schema is registered in a new
subject and the reader's is checked against it at level BACKWARD. Differences are listed on stderr; the last line on stdout is the summary.

Apicurio, for example: unpack `io.apicurio:apicurio-registry-app:2.6.13.Final:tar.gz:all` from Maven Central and run
`java -Dquarkus.http.host=127.0.0.1 -Dquarkus.http.port=8085 -jar apicurio-registry-app-2.6.13.Final-runner.jar`; the URL then is
`http://127.0.0.1:8085/apis/ccompat/v7`.
"""

import json
import sys
from pathlib import Path

import httpx

from trunkline.log.codec.compatibility import problems
from trunkline.log.codec.declarations import parse
from trunkline.model.identity import uuid7

CASES = Path(__file__).parents[1] / "tests" / "log" / "compatibility"


def verdict(http: httpx.Client, reader: str, writer: str) -> bool | None:
    """Return whether the registry lets `reader` follow `writer`; None when it takes one of them for invalid."""
    subject = f"compare-{uuid7()}"
    if http.post(f"/subjects/{subject}/versions", json={"schema": writer}).status_code != 200:
        return None
    http.put(f"/config/{subject}", json={"compatibility": "BACKWARD"}).raise_for_status()
    answer = http.post(f"/compatibility/subjects/{subject}/versions/latest", json={"schema": reader})
    return bool(answer.json()["is_compatible"]) if answer.status_code == 200 else None


def main(url: str) -> int:
    """Compare and print; return 0 whatever was found: differences are for people to judge."""
    counts = {"cases": 0, "same": 0, "stricter": 0, "laxer": 0, "invalid_there": 0}
    with httpx.Client(base_url=url, timeout=30) as http:
        for case in sorted(CASES.iterdir()):
            texts = [(case / f"{side}.avsc").read_text() for side in ("reader", "writer")]
            for name, (reader, writer) in ((case.name, texts), (f"{case.name} exchanged", texts[::-1])):
                ours, theirs = not problems(parse(reader), parse(writer)), verdict(http, reader, writer)
                counts["cases"] += 1
                kind = "invalid_there" if theirs is None else "same" if ours == theirs else "stricter" if theirs else "laxer"
                counts[kind] += 1
                if kind != "same":
                    print(f"{name}: ours {'compatible' if ours else 'incompatible'}, theirs {theirs}", file=sys.stderr)
    print(json.dumps({"compared": "registries", "url": url, **counts}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
