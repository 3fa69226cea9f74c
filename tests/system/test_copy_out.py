"""A gateway whose link is down for days: its records come by stick, then the link returns and forwards them all again."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path

from tests.cli.support import trunkline
from tests.system.support import PATIENCE, TRUNKLINE, RunningSite, until, write_simulated_site

from trunkline.config.loading import load
from trunkline.ledger.balance import Balance
from trunkline.log.codec.head import HEADER, decode_head
from trunkline.log.opening import layout_of, open_edge_journal, open_site_log
from trunkline.model.reading import Category
from trunkline.supervisor.wiring import account


@contextmanager
def gateway(file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the gateway alone, as on a machine of its own."""
    with (file.parent / "gateway.txt").open("ab") as output:
        process = subprocess.Popen([*TRUNKLINE, "run", "gateway", str(file), "--id", "gw1"], stdout=output, stderr=output)
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()


def waiting(file: Path) -> int:
    """Return how many records wait at the edge."""
    return sum(one["waiting"] for one in trunkline("journal", "show", file, "--gateway", "gw1", "--json").documents[:-1])


def balanced(site: RunningSite, stored: int) -> Balance:
    """Wait until so much is stored, then return the balance."""
    until(lambda: account(site.site, recount=False).totals["stored"] >= stored, "everything is stored")
    result: Balance = until(lambda: (now := account(site.site)).totals["in_transit"] == 0 and now, "nothing moves")  # type: ignore[assignment]
    return result


def test_carried_by_hand_and_then_forwarded_as_well(tmp_path: Path) -> None:
    """W-16, W-111, PD-6: stored once, and the ledger balances, before and after the link returns (decision 0012)."""
    away = tmp_path / "edge"
    away.mkdir()
    at_edge = write_simulated_site(away)
    (away / "data" / "site" / "journal.db").mkdir(parents=True)  # no link
    with gateway(at_edge):
        until(lambda: (away / "data/edge/gw1/journal.db").exists() and waiting(at_edge) > 60, "readings wait at the edge")
    stick = tmp_path / "stick"
    stick.mkdir()
    exported = trunkline("journal", "export", at_edge, "--gateway", "gw1", "--to", stick, "--json")
    assert exported.code == 0
    one = load(at_edge)
    layout = layout_of(one.config.log)
    with open_edge_journal(one.config.log, one.data_dir, "gw1") as journal:
        origin = journal.id
        read = sum(journal.tallies(("read",)).values())

    home = tmp_path / "site"
    home.mkdir()
    at_site = write_simulated_site(home)
    quiet = "type: simulated\n        enabled: false"
    at_site.write_text(at_site.read_text().replace("type: simulated", quiet))
    with RunningSite(at_site).start() as running:
        running.wait_until_stored(0)
        assert trunkline("journal", "import", at_site, stick, "--json").code == 0
        assert trunkline("journal", "import", at_site, stick, "--json").code == 0
        first = balanced(running, read)
        assert (first.balanced, first.totals["stored"], first.totals["missing"], first.totals["surplus"]) == (True, read, 0, 0)
        assert first.totals["forwarded"] <= read

        shutil.rmtree(away / "data" / "site")
        (away / "data" / "site").symlink_to(home / "data" / "site")
        at_edge.write_text(at_edge.read_text().replace("type: simulated", quiet))
        with gateway(at_edge):
            until(lambda: waiting(at_edge) == 0, "the link forwards all of it again")
        last = balanced(running, read)
        assert (last.balanced, last.totals["stored"], last.totals["forwarded"], last.totals["waiting"]) == (True, read, read, 0)
        with closing(open_site_log(running.site.config.log, running.data)) as log:
            topic = layout.topic(Category.TELEMETRY, "clean")
            for at in log.bounds(topic):
                heads = [decode_head(record.header(HEADER) or b"") for record in log.read(at, 0, 100_000)]
                spans = sorted((head.lo, head.hi) for head in heads if head.origin == origin)
                assert spans
                assert all(before[1] == after[0] for before, after in pairwise(spans)), "each range once"
