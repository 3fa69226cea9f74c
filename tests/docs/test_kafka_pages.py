"""The Kafka pages quote messages: every quoted one is said by the source, and every fault of the Kafka client has its row."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError

from trunkline.log.kafka.errors import _TLS, explain

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs" / "how-to"
TROUBLESHOOTING = HOW_TO / "kafka-troubleshooting.md"
SPAN = re.compile(r"`([^`\n]+)`")
#: What differs from site to site, and what a page leaves out.
VARIABLE = re.compile(
    r"User:[\w…-]+|…|(?<=has no right) to |((?<=right to )(topic|group|transactional id) )?'[^']*'|nosuch|\b\d+\b|\bUSER\b|kafka-\d"
)
#: Headings of columns with messages of ours. What brokers say is theirs.
OURS = ("it says",)
#: Words of PostgreSQL itself.
OTHERS = (
    "Connection refused",
    "connection failed",
    "connection is bad",
    "No such file or directory",
    "no such file or directory",
    "password authentication failed",
    "does not exist",
)


def constants() -> str:
    """Return the text of every string in the source, pieces of f-strings apart."""
    found = []
    for file in (ROOT / "src" / "trunkline").rglob("*.py"):
        tree = ast.parse(file.read_text())
        found += [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return "\n".join(found)


def fragments(text: str) -> list[str]:
    """Return the fixed pieces of a message that are long enough to mean something."""
    return [piece for piece in (part.strip(" :,;.()") for part in VARIABLE.sub("…", text).split("…")) if len(piece) >= 12]


def quoted(page: Path) -> Iterator[str]:
    """Yield the messages in the column 'it says' of a page's tables."""
    column = None
    for line in page.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if not line.startswith("|"):
            column = None
        elif column is None:
            column = next((cells.index(name) for name in OURS if name in cells), -1)
        elif column >= 0 and len(cells) > column:
            yield from SPAN.findall(cells[column])


@pytest.mark.parametrize("page", [TROUBLESHOOTING, HOW_TO / "kafka-security.md"], ids=lambda page: page.stem)
def test_what_a_page_quotes_is_said(page: Path) -> None:
    """P-111: a symptom can be found by the words that people see."""
    said = constants()
    messages = list(quoted(page))
    assert len(messages) > 10
    for message in messages:
        for piece in fragments(message):
            assert piece in said or any(piece.endswith(words) for words in OTHERS), f"nothing says {piece!r}, of {message!r}"


def client_faults() -> list[KafkaError]:
    codes = [
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError._TRANSPORT,
    ]
    faults = [KafkaError(code) for code in codes]
    faults += [KafkaError(KafkaError._SSL, sign) for sign, _ in _TLS]
    faults.append(KafkaError(KafkaError._SSL, "anything else"))
    words = ("invalid credentials", "Unsupported SASL mechanism", "incorrect security.protocol")
    return faults + [KafkaError(KafkaError._AUTHENTICATION, word) for word in words]


@pytest.mark.parametrize("fault", client_faults(), ids=lambda fault: f"{fault.name()}: {fault.str()}"[:60])
def test_every_fault_of_the_client_has_its_row(fault: KafkaError) -> None:
    """P-111: what the engine says of brokers, rights, passwords and certificates is in the table, with cause and mend."""
    page = TROUBLESHOOTING.read_text()
    message = str(explain(fault, resource="nosuch", principal="User:gateway-g1"))
    symptom = re.split(r": | \(", VARIABLE.sub("…", message))[0]
    pieces = fragments(symptom)
    assert pieces
    for piece in pieces:
        assert piece in page, f"the page lacks {piece!r}, of {message!r}"
