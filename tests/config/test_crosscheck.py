"""What no single section can know: collisions, secrets, directories, data already written."""

from pathlib import Path

import pytest
from tests.config.conftest import SiteWriter

from trunkline.config.loading import check, load
from trunkline.config.problems import InvalidSite, Problem, errors, render
from trunkline.config.stamp import FILE, read_stamp, write_stamp
from trunkline.model.errors import Misconfigured


def found(problems: list[Problem], path: str) -> Problem:
    matching = [problem for problem in problems if problem.path == path]
    assert len(matching) == 1, render(problems)
    return matching[0]


def source(name: str, *tags: str, extra: str = "") -> str:
    rows = ", ".join(f"{{path: {tag}, node: 1}}" for tag in tags)
    return f"      - {{id: {name}, type: meter{', ' + extra if extra else ''}, tags: [{rows}]}}\n"


def gateway(name: str, *sources: str) -> str:
    return f"  - id: {name}\n    sources:\n" + "".join(sources)


def test_a_tag_has_one_source_in_the_whole_site(site_file: SiteWriter) -> None:
    text = "site: a\ngateways:\n" + gateway("g1", source("s", "A.B")) + gateway("g2", source("s", "A.C", "A.B"))
    path = site_file(text)
    problem = found(check(path), "gateways[1].sources[0].tags[1].path")
    assert "tag A.B is given twice; first in line 5" in problem.message
    with pytest.raises(InvalidSite, match=r"A\.B is given twice"):
        load(path)


def test_ids_are_unique(site_file: SiteWriter) -> None:
    """Two gateways of one identity would fence each other; the ledger counts by gateway and source."""
    text = "site: a\ngateways:\n" + gateway("g", source("s", "A.A"), source("s", "A.B")) + gateway("g", source("s", "A.C"))
    problems = check(site_file(text))
    assert "first in line 5" in found(problems, "gateways[0].sources[1].id").message
    assert "first in line 3" in found(problems, "gateways[1].id").message


def test_envelopes_need_names_that_fit_them(site_file: SiteWriter) -> None:
    """P-11, P-15: layout, four parts of a path, the number of a node."""
    sites = "gateways:\n" + gateway("node-042", source("s", "P.A.U.FLOW", "P.FLOW")) + gateway("press", source("s", "P.A.U.PRESSURE"))
    problems = check(site_file("site: a\nlog: {form: json, layout: isa95}\n" + sites))
    short = found(problems, "gateways[0].sources[0].tags[1].path")
    assert (short.severity, "cannot be an envelope" in short.message) == ("warning", True)
    assert "envelopes say node 0" in found(problems, "gateways[1].id").message
    assert len(problems) == 2
    wrong = found(check(site_file("site: a\nlog: {form: json}\n" + sites)), "log.form")
    assert (wrong.severity, "the layout is 'gateway'" in wrong.message) == ("error", True)
    assert check(site_file("site: a\nlog: {form: single}\n" + sites)) == []
    assert "form" in found(check(site_file("site: a\nlog: {form: xml}\n" + sites)), "log.form").path


def test_a_tag_above_other_tags_is_odd(site_file: SiteWriter) -> None:
    problem = found(
        check(site_file("site: a\ngateways:\n" + gateway("g", source("s", "A.B", "A.B.C")))), "gateways[0].sources[0].tags[0].path"
    )
    assert problem.severity == "warning"
    assert "branch" in problem.message


def test_a_serial_port_has_one_owner(site_file: SiteWriter, tmp_path: Path) -> None:
    """Even under another name of the same device, and in another gateway; a disabled source owns nothing."""
    alias = tmp_path / "usb-meter"
    alias.symlink_to("/dev/ttyS7")
    ports = ["/dev/ttyS7", "/dev/../dev/ttyS7", "/dev/ttyS8"]
    sources = [source(f"s{n}", f"A.T{n}", extra=f"line: {{device: {port}}}") for n, port in enumerate(ports)]
    text = "site: a\ngateways:\n" + gateway("g", sources[0]) + gateway("h", *sources[1:])
    problem = found(errors(check(site_file(text))), "gateways[1].sources[0].line.device")
    assert "'g/s0'" in problem.message
    assert "line 5" in problem.message
    off = text.replace("id: s0, type: meter", "id: s0, type: meter, enabled: false")
    assert errors(check(site_file(off))) == []


def test_ports_do_not_collide(site_file: SiteWriter) -> None:
    text = """\
site: a
api: {port: 15020}
lab: {modbus_port: 15020, mqtt_port: 48400}
gateways:
  - {id: g, admin_port: 0}
  - {id: h, admin_port: 0}
"""
    problems = errors(check(site_file(text)))
    assert {problem.path for problem in problems} == {"lab.modbus_port", "lab.mqtt_port"}
    assert "api.port" in found(problems, "lab.modbus_port").message


def test_ranges_run_upwards(site_file: SiteWriter) -> None:
    text = "site: a\ngateways:\n  - {id: g, sources: [{id: s, type: meter, tags: [{path: A.B, node: 1, min: 5, max: 5}]}]}\n"
    assert "must be below" in errors(check(site_file(text)))[0].message


def test_odd_settings_are_warned_of(site_file: SiteWriter) -> None:
    text = """\
site: a
api: {host: 0.0.0.0}
gateways:
  - {id: g}
  - {id: h, sources: [{id: s, type: meter, stale_after: 9, lost_after: 3}]}
"""
    problems = check(site_file(text))
    assert {problem.path for problem in problems} == {
        "api.host",
        "gateways[0]",
        "gateways[1].sources[0]",
        "gateways[1].sources[0].lost_after",
    }
    assert errors(problems) == []
    assert len(load(site_file(text)).warnings) == 4


def test_members_beyond_the_partitions_are_warned_of(site_file: SiteWriter) -> None:
    """P-115: partitions limit readers."""
    text = "site: a\nlog: {partitions: 3}\nhistorian: {members: 5}\nvalidation: {members: 3}\n"
    problem = found(check(site_file(text)), "historian.members")
    assert problem.severity == "warning"
    assert "5 members share 3 partitions of each telemetry topic: 2 will be idle" in problem.message
    assert errors(check(site_file(text.replace("members: 5", "members: 0"))))


def test_the_reserve_is_part_of_the_buffer(site_file: SiteWriter) -> None:
    problems = errors(check(site_file("site: a\ngateways: [{id: g, buffer: {max_bytes: 5, reserved_bytes: 5}}]\n")))
    assert "below max_bytes" in found(problems, "gateways[0].buffer.reserved_bytes").message


def test_secrets_are_named_and_never_shown(site_file: SiteWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """W-167: references are checked on this machine; a value written out is a warning that does not repeat it."""
    monkeypatch.delenv("NO_SUCH_SECRET", raising=False)
    source_a = source("s", "A.B", extra='username: "${env:NO_SUCH_SECRET}", password: "${secret:plc}"')
    source_b = source("t", "A.C", extra='username: "${secrte:x}", password: hunter2-plain')
    path = site_file("site: a\ngateways:\n" + gateway("g", source_a, source_b))
    problems = check(path)
    assert "NO_SUCH_SECRET is not set" in found(problems, "gateways[0].sources[0].username").message
    plc = found(problems, "gateways[0].sources[0].password")
    assert "${secret:plc}" in plc.message
    assert "chmod 600" in plc.mend
    assert "did you mean 'secret'?" in found(problems, "gateways[0].sources[1].username").mend
    plain = found(problems, "gateways[0].sources[1].password")
    assert plain.severity == "warning"
    assert "hunter2" not in render(problems)

    secrets = path.parent / "data" / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "plc").write_text("s3cret-of-the-plc")
    (secrets / "plc").chmod(0o644)
    readable = found(check(path), "gateways[0].sources[0].password")
    assert "other users may read" in readable.message
    assert "s3cret" not in render(check(path))
    (secrets / "plc").chmod(0o600)
    assert all(problem.path != "gateways[0].sources[0].password" for problem in check(path))


def test_a_wrong_secret_is_not_echoed(site_file: SiteWriter) -> None:
    path = site_file("site: a\ngateways:\n" + gateway("g", source("s", "A.B", extra="password: 12345678")))
    assert "12345678" not in render(check(path))


def test_load_does_not_need_the_secrets(site_file: SiteWriter) -> None:
    """A role that does not use a secret starts without it: control plane is not data plane."""
    path = site_file("site: a\ngateways:\n" + gateway("g", source("s", "A.B", extra='password: "${secret:none}"')))
    assert errors(check(path))
    assert load(path).tags()


def test_the_data_directory_must_be_one(site_file: SiteWriter, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    assert "is not a directory" in found(check(site_file("site: a\ndata_dir: taken/below\n")), "data_dir").message
    assert check(site_file("site: a\ndata_dir: to/be/made\n")) == []
    # /proc lets nobody write, not even root
    assert "not writable" in found(check(site_file("site: a\ndata_dir: /proc/here\n")), "data_dir").message


def test_partitions_of_written_data_are_fixed(site_file: SiteWriter) -> None:
    """PD-18: a change of partitions, layout or site is refused once there is data."""
    path = site_file("site: a\nlog: {partitions: 4}\n")
    site = load(path)
    write_stamp(site.data_dir, site.config)
    write_stamp(site.data_dir, site.config)
    assert check(path) == []
    changed = site_file("site: b\nlog: {partitions: 8, layout: isa95}\n")
    problems = check(changed)
    assert {problem.path for problem in problems} == {"site", "log.partitions", "log.layout"}
    assert found(problems, "log.partitions").mend == "write 'partitions: 4'"
    with pytest.raises(Misconfigured, match="trunkline check"):
        write_stamp(site.data_dir, load(changed).config)


def test_a_damaged_stamp_is_told(site_file: SiteWriter) -> None:
    path = site_file("site: a\n")
    site = load(path)
    assert read_stamp(site.data_dir) is None
    site.data_dir.mkdir()
    (site.data_dir / FILE).write_text("{")
    assert "cannot be read" in found(check(path), "data_dir").message
