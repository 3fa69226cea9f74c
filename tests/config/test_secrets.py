"""References are resolved late, on a copy, and values stay out of sight."""

import stat
from pathlib import Path

import pytest

from trunkline.config.secrets import REDACTED, SecretStore, SecretUnavailable, is_secret_key, redact, redact_text, references


@pytest.fixture
def store(tmp_path: Path) -> SecretStore:
    return SecretStore(tmp_path / "secrets", tmp_path, {"PLC_USER": "operator-7"})


def test_all_three_schemes_and_mixed_text(store: SecretStore, tmp_path: Path) -> None:
    store.put("plc", "s3cret\n")
    (tmp_path / "mounted").write_text("from-file\r\n")
    assert store.resolve("${env:PLC_USER}") == "operator-7"
    assert store.resolve("postgresql://${env:PLC_USER}:${secret:plc}@db/x") == "postgresql://operator-7:s3cret@db/x"
    assert store.resolve("${file:mounted}") == "from-file"
    assert store.resolve("no reference, $HOME and ${} stay") == "no reference, $HOME and ${} stay"


def test_resolving_is_recursive_and_on_a_copy(store: SecretStore) -> None:
    """D-42: nested references are resolved and the configuration itself keeps them."""
    data = {"source": {"auth": [{"user": "${env:PLC_USER}"}], "port": 4840}, "t": ("${env:PLC_USER}",)}
    resolved = store.resolve_all(data)
    assert resolved == {"source": {"auth": [{"user": "operator-7"}], "port": 4840}, "t": ("operator-7",)}
    assert data["source"]["auth"] == [{"user": "${env:PLC_USER}"}]  # type: ignore[index]  # a mixed literal


@pytest.mark.parametrize("reference", ["${secret:none}", "${env:NONE}", "${file:none}", "${secret:../x}", "${vault:x}"])
def test_what_cannot_be_resolved_is_named(store: SecretStore, reference: str) -> None:
    with pytest.raises(SecretUnavailable, match=r"\$\{[a-z]+:") as caught:
        store.resolve(f"a{reference}b")
    assert reference in str(caught.value)


def test_secrets_are_kept_private(store: SecretStore) -> None:
    """PD-15: nothing is overwritten by accident."""
    path = store.put("db", "one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700
    with pytest.raises(FileExistsError):
        store.put("db", "two")
    assert store.resolve("${secret:db}") == "one"
    store.put("db", "two", overwrite=True)
    assert store.resolve("${secret:db}") == "two"
    assert [file.name for file in store.directory.iterdir()] == ["db"]
    with pytest.raises(ValueError, match="no name of a secret"):
        store.put("../db", "x")
    path.chmod(0o640)
    with pytest.raises(SecretUnavailable, match="chmod 600"):
        store.resolve("${secret:db}")


def test_empty_binary_and_huge_files_are_no_secrets(store: SecretStore, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "huge").write_bytes(b"x" * 1_000_001)
    for name, says in (("empty", "empty"), ("binary", "UTF-8"), ("huge", "larger")):
        with pytest.raises(SecretUnavailable, match=says):
            store.resolve(f"${{file:{name}}}")


def test_logs_are_redacted(store: SecretStore) -> None:
    store.put("plc", "s3cret-value")
    store.resolve("${secret:plc}")
    assert store.redact("connect failed for s3cret-value") == f"connect failed for {REDACTED}"
    assert "s3cret" not in repr(store)


def test_texts_that_look_like_credentials_are_redacted() -> None:
    assert redact_text("postgresql://scada:pa55@db/x") == f"postgresql://scada:{REDACTED}@db/x"
    assert redact_text("host=db password='pa55 word' user=x") == f"host=db password={REDACTED} user=x"
    assert redact_text("Authorization: Bearer abcdefgh12345678") == f"Authorization: Bearer {REDACTED}"
    assert redact_text("password=${secret:db}") == "password=${secret:db}"
    assert redact_text("postgresql://u:${secret:db}@h/x") == "postgresql://u:${secret:db}@h/x"
    assert redact_text("tag PLANT01.TOKEN_RATE is fine") == "tag PLANT01.TOKEN_RATE is fine"


def test_structures_are_redacted_on_a_copy() -> None:
    data: dict[str, object] = {
        "password": "x",
        "nested": [{"api_key": "y", "password": "${secret:a}"}],
        "allow_plain_password": True,
        "key_file": "/k",
        "n": 3,
    }
    assert redact(data) == {
        "password": REDACTED,
        "nested": [{"api_key": REDACTED, "password": "${secret:a}"}],
        "allow_plain_password": True,
        "key_file": "/k",
        "n": 3,
    }
    assert data["password"] == "x"


def test_secret_keys() -> None:
    assert is_secret_key("password")
    assert is_secret_key("db_password")
    assert is_secret_key("apiKey".lower())
    assert not is_secret_key("password_file")
    assert not is_secret_key("tokens_per_s")


def test_references_are_found() -> None:
    assert references("a${env:X}b${secret:y}") == ["${env:X}", "${secret:y}"]
