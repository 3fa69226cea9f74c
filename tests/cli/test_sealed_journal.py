"""An edge journal that the site file seals: from the gateway's process to the stick, on the command line as users meet it."""

import asyncio
import base64
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.cli.support import Said, trunkline
from tests.gateway.edge_support import TAGS, alarm, fill, positions, readings

from trunkline.cli.edge_key import open_journal
from trunkline.config.loading import check, load
from trunkline.log.opening import edge_journal, layout_of, open_site_log
from trunkline.log.port import Record

SITE = """\
site: test
log: {partitions: 3}
gateways:
  - id: gw1
    buffer:
      max_bytes: 10000000000%s
    sources:
      - {id: plc, type: simulated, interval_ms: 20, tags: [{path: P.A.U1.FLOW}]}
"""
SEALED = "\n      encryption: {key: '${secret:%s}'}"


def write_site(folder: Path, secret: str = "") -> Path:
    file = folder / "site.yaml"
    file.write_text(SITE % (SEALED % secret if secret else ""))
    return file


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Write a site file with encryption, and two keys among the secrets."""
    file = write_site(tmp_path, "one")
    secrets = load(file).secrets
    for number, name in enumerate(("one", "two")):
        secrets.put(name, base64.b64encode(bytes([number]) * 32).decode() + "\n")
    return file


def filled(file: Path) -> Path:
    """Fill the gateway's journal as the site file says, and close it; return its file."""
    one = load(file)
    layout = layout_of(one.config.log)
    with open_journal(one, "gw1") as journal:
        blocks = (readings(start, 60) for start in range(0, 600, 60))
        asyncio.run(fill(journal, layout, *blocks, events=[alarm("an alarm of its own")]))
        journal.append(layout.platform_log, [Record(b"line")])
    return edge_journal(one.data_dir, "gw1")


def run_gateway(site: Path) -> Said:
    """Start the gateway as a process of its own, which is expected to end by itself."""
    command = [sys.executable, "-m", "trunkline.cli.entry", "run", "gateway", str(site), "--id", "gw1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    return Said(ended.returncode, ended.stdout, " ".join(ended.stderr.split()))


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize("secret", ["", "one"], ids=["plain", "sealed"])
def test_a_gateway_writes_no_tag_in_the_clear(site: Path, secret: str) -> None:
    """The process itself, stopped in the middle: its tag's path is in the files without encryption, and never with it."""
    write_site(site.parent, secret)
    journal = edge_journal(load(site).data_dir, "gw1")
    command = [sys.executable, "-m", "trunkline.cli.entry", "run", "gateway", str(site), "--id", "gw1"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 90
        while not (journal.exists() and trunkline("journal", "show", journal, "--json").documents[0].get("records", 0) > 3):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    assert (b"P.A.U1.FLOW" in on_disk(journal.parent)) == (not secret)
    with open_journal(load(site), "gw1") as opened:
        assert any(b"P.A.U1.FLOW" in one.value for at in opened.bounds("telemetry.raw") for one in opened.read(at, 0))


def test_a_wrong_or_missing_key_is_told_with_gateway_file_line_and_mend(site: Path) -> None:
    """PD-15: and no word of the key itself; the journal stays as it is."""
    journal = filled(site)
    before = journal.read_bytes()
    commands: list[Callable[[], Said]] = [
        lambda: run_gateway(site),
        lambda: trunkline("journal", "export", site, "--gateway", "gw1", "--to", site.parent),
        lambda: trunkline("outbox", "list", site),
    ]
    for command in commands:
        write_site(site.parent, "two")
        wrong = command()
        assert wrong.code == 2
        assert f"{site}:7: gateways[0].buffer.encryption.key: gateway 'gw1': journal {journal} is sealed with the key" in wrong.text
        assert "name the key that it was sealed with, or let 'trunkline journal rekey' give it this one" in wrong.text
        write_site(site.parent, "three")
        missing = command()
        assert missing.code == 2
        assert f"{site}:7: gateways[0].buffer.encryption.key: gateway 'gw1': ${{secret:three}}:" in missing.text
        assert "chmod 600" in missing.text
        write_site(site.parent)
        none = command()
        assert none.code == 2
        assert f"{site}:6: gateways[0].buffer: gateway 'gw1'" in none.text
        assert "no key was given: add 'encryption: {key: ${secret:NAME}}'" in none.text
        for said in (wrong, missing, none):
            assert base64.b64encode(bytes(32)).decode()[:20] not in said.text + said.out
            assert base64.b64encode(b"\1" * 32).decode()[:20] not in said.text + said.out
    assert journal.read_bytes() == before


def test_the_check_of_the_site_file_looks_at_the_key(site: Path) -> None:
    assert check(site) == []
    secrets = load(site).secrets
    secrets.put("one", "a password", overwrite=True)
    (problem,) = check(site)
    assert (problem.line, problem.path, problem.severity) == (7, "gateways[0].buffer.encryption.key", "error")
    assert "32 random bytes in base64" in problem.message
    assert "openssl rand -base64 32" in problem.mend
    refused = run_gateway(site)
    assert (refused.code, "a password" in refused.text, "openssl rand -base64 32" in refused.text) == (2, False, True)
    key = base64.b64encode(bytes(32)).decode()
    site.write_text(site.read_text().replace("${secret:one}", key))
    (problem,) = check(site)
    assert (problem.path, "is never written out" in problem.message, key in str(problem)) == (
        "gateways[0].buffer.encryption.key",
        True,
        False,
    )


def test_show_check_and_salvage_with_and_without_the_key(site: Path, tmp_path: Path) -> None:
    """Without it they do what they can and say what they cannot."""
    journal = filled(site)
    shown = trunkline("journal", "show", journal, "--json").documents
    assert shown == trunkline("journal", "show", site, "--gateway", "gw1", "--json").documents
    assert sum(topic.get("records", 0) for topic in shown[:-1]) == 32
    assert (len(shown[-1]["sealed_with"]), shown[-1]["plain_records"]) == (8, 0)
    assert f"sealed, with the key {shown[-1]['sealed_with']}" in trunkline("journal", "show", journal).text

    closed, opened = trunkline("journal", "check", journal, "--json"), trunkline("journal", "check", site, "--gateway", "gw1", "--json")
    assert (closed.code, closed.documents[-1]["unopened_batches"]) == (0, closed.documents[-1]["batches"])
    assert (opened.code, opened.documents[-1]["unopened_batches"]) == (0, 0)
    assert "whether they open was not tried, for want of the key" in trunkline("journal", "check", journal).text
    write_site(site.parent, "two")
    assert trunkline("journal", "check", site, "--gateway", "gw1").code == 2
    write_site(site.parent, "one")

    target = tmp_path / "saved.db"
    said = trunkline("journal", "salvage", journal, "--to", target, "--json")
    assert (said.code, said.documents[-1]["records"]) == (0, 32)
    for suffix in ("", ".marks"):
        target.with_name(f"saved.db{suffix}").replace(journal.with_name(f"journal.db{suffix}"))
    with open_journal(load(site), "gw1") as mended:
        assert positions(mended, layout_of(load(site).config.log)) == list(range(600))


def test_salvage_seals_what_was_there_before(site: Path, tmp_path: Path) -> None:
    write_site(site.parent)
    journal = filled(site)
    write_site(site.parent, "one")
    with open_journal(load(site), "gw1") as opened:
        opened.append("logs.platform" if "logs.platform" in opened.topics() else next(iter(opened.topics())), [Record(b"sealed line")])
    assert TAGS[0].encode() in on_disk(journal.parent)
    assert "sealed, with the key" in (text := trunkline("journal", "show", journal).text)
    assert "32 records from before are not" in text
    target = tmp_path / "saved" / "journal.db"
    target.parent.mkdir()
    assert trunkline("journal", "salvage", site, "--gateway", "gw1", "--to", target).code == 0
    assert TAGS[0].encode() not in on_disk(target.parent)
    assert trunkline("journal", "show", target, "--json").documents[-1]["plain_records"] == 0


def test_rekey(site: Path) -> None:
    """The site file names the new key, the command line the one before; again it does nothing."""
    journal = filled(site)
    write_site(site.parent, "two")
    wrong = trunkline("journal", "rekey", site, "--gateway", "gw1", "--from", "${secret:none}")
    assert (wrong.code, "${secret:none}" in wrong.text) == (2, True)
    for _ in range(2):
        said = trunkline("journal", "rekey", site, "--gateway", "gw1", "--from", "${secret:one}")
        assert (said.code, "opens with the key" in said.text) == (0, True)
    assert trunkline("journal", "check", site, "--gateway", "gw1").code == 0
    with open_journal(load(site), "gw1") as opened:
        assert positions(opened, layout_of(load(site).config.log)) == list(range(600))
    write_site(site.parent, "one")
    assert trunkline("journal", "check", site, "--gateway", "gw1").code == 2
    write_site(site.parent)
    assert "has no 'buffer.encryption.key'" in trunkline("journal", "rekey", site, "--gateway", "gw1", "--from", "${secret:one}").text
    with closing(sqlite3.connect(journal)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("secret", ["", "one"], ids=["plain", "sealed"])
def test_a_stick_is_sealed_as_the_journal_is(site: Path, tmp_path: Path, secret: str) -> None:
    """Nothing of a record on the stick, and the site takes it with the gateway's key alone."""
    write_site(site.parent, secret)
    filled(site)
    stick = tmp_path / "stick"
    stick.mkdir()
    said = trunkline("journal", "export", site, "--gateway", "gw1", "--to", stick)
    assert (said.code, "sealed, written" in said.text, "not encrypted" in said.text) == (0, bool(secret), not secret)
    assert [marker in on_disk(stick) for marker in (TAGS[0].encode(), b"an alarm of its own")] == [not secret] * 2
    if secret:
        for other, told in (("two", "the copy-out is sealed with the key"), ("three", "chmod 600"), ("", "no key was given")):
            write_site(site.parent, other)
            refused = trunkline("journal", "import", site, stick)
            assert (refused.code, told in refused.text, f"{site}:" in refused.text) == (2, True, True)
    write_site(site.parent, secret)
    taken = trunkline("journal", "import", site, stick, "--json")
    assert (taken.code, taken.documents[-1]["records"]) == (0, 31)
    one = load(site)
    with closing(open_site_log(one.config.log, one.data_dir)) as log:
        assert positions(log, layout_of(one.config.log)) == list(range(600))
