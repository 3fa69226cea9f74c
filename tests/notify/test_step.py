"""The routing step between two topics (W-140): what it lets in, and that its memory is all in its entries."""

from tests.notify.alarms import NOW, device_alarm, transition
from tests.notify.test_router import standard

from trunkline.log.codec.events import encode_event
from trunkline.log.codec.notifications import decode_request
from trunkline.log.port import StoredRecord
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.events import Event
from trunkline.processing.notify.step import NotifyStep
from trunkline.processing.port import Outputs

LAYOUT = Layout("gateway", 1)


def stored(*values: bytes) -> list[StoredRecord]:
    return [StoredRecord("alarms.clean", 0, offset, NOW, b"k", value, ()) for offset, value in enumerate(values)]


def told(out: Outputs) -> list[tuple[str, str]]:
    records = [StoredRecord("r", 0, 0, NOW, one.key, one.value, ()) for one in out.get(LAYOUT.notifications, [])]
    return [(one.channel, one.kind.value) for one in map(decode_request, records)]


def test_a_device_alarm_is_told_by_its_transition() -> None:
    """The device's own record and the transition that the alarm step makes of it are on one topic: people hear of one of them."""
    step = NotifyStep(LAYOUT, standard(), "UTC", clock=lambda: NOW)
    life = transition("d", severity="HIGH", kind="DOOR_OPEN", rule="device")
    assert told(step.process(stored(encode_event(device_alarm(0)), encode_event(life)))) == [("slack", "trigger")]


def test_what_is_no_alarm_is_let_pass() -> None:
    step = NotifyStep(LAYOUT, standard(), "UTC", clock=lambda: NOW)
    comment = Event(id="e", type="COMMENT", time=NOW, gateway_time=NOW)
    assert step.process(stored(b"", b"poison", encode_event(comment))) == {}


def test_a_restart_goes_on_from_the_entries() -> None:
    """W-145: the escalation is due though the process that saw the alarm is gone."""
    now = NOW
    before = NotifyStep(LAYOUT, standard(), "UTC", clock=lambda: now)
    assert told(before.process(stored(encode_event(transition("a"))))) == [("pd", "trigger"), ("sms", "trigger")]
    after = NotifyStep(LAYOUT, standard(), "UTC", clock=lambda: now)
    after.restore({name: entry for name, entry in before.changed().items() if entry is not None})
    now += 900 * times.SECOND
    assert told(after.tick()) == [("oncall_manager", "escalate")]
