"""Paths of compatibility levels and modes."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query

from trunkline.registry import errors
from trunkline.registry.answers import Answer, read_body
from trunkline.registry.errors import Refused
from trunkline.registry.service import Registry

_Flag = Annotated[bool, Query()]
_Inherited = Annotated[bool, Query(alias="defaultToGlobal")]
_Raw = Annotated[bytes, Depends(read_body)]


class _Level(msgspec.Struct, forbid_unknown_fields=True):
    compatibility: str


class _Mode(msgspec.Struct, forbid_unknown_fields=True):
    mode: str


_level_decoder = msgspec.json.Decoder(_Level)
_mode_decoder = msgspec.json.Decoder(_Mode)


def levels_of(registry: Registry) -> APIRouter:
    """Return the paths under /config."""
    router = APIRouter(prefix="/config")

    @router.get("")
    def level() -> Answer:
        return Answer({"compatibilityLevel": registry.level()})

    @router.put("")
    def set_level(raw: _Raw) -> Answer:
        level = _level_in(raw)
        registry.set_level(level)
        return Answer({"compatibility": level})

    @router.delete("")
    def reset_level() -> Answer:
        return Answer({"compatibilityLevel": registry.set_level(None)})

    @router.get("/{subject}")
    def subject_level(subject: str, inherited: _Inherited = False) -> Answer:
        return Answer({"compatibilityLevel": registry.level(subject, default_to_global=inherited)})

    @router.put("/{subject}")
    def set_subject_level(subject: str, raw: _Raw) -> Answer:
        level = _level_in(raw)
        registry.set_level(level, subject)
        return Answer({"compatibility": level})

    @router.delete("/{subject}")
    def reset_subject_level(subject: str) -> Answer:
        registry.level(subject)
        return Answer({"compatibilityLevel": registry.set_level(None, subject)})

    return router


def modes_of(registry: Registry) -> APIRouter:
    """Return the paths under /mode."""
    router = APIRouter(prefix="/mode")

    @router.get("")
    def mode() -> Answer:
        return Answer({"mode": registry.mode()})

    @router.put("")
    def set_mode(raw: _Raw, force: _Flag = False) -> Answer:
        mode = _mode_in(raw)
        registry.set_mode(mode, force=force)
        return Answer({"mode": mode})

    @router.get("/{subject}")
    def subject_mode(subject: str, inherited: _Inherited = False) -> Answer:
        return Answer({"mode": registry.mode(subject, default_to_global=inherited)})

    @router.put("/{subject}")
    def set_subject_mode(subject: str, raw: _Raw, force: _Flag = False) -> Answer:
        mode = _mode_in(raw)
        registry.set_mode(mode, subject, force=force)
        return Answer({"mode": mode})

    @router.delete("/{subject}")
    def reset_subject_mode(subject: str) -> Answer:
        registry.mode(subject)
        return Answer({"mode": registry.set_mode(None, subject)})

    return router


def _level_in(raw: bytes) -> str:
    try:
        return _level_decoder.decode(raw).compatibility
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(errors.INVALID_COMPATIBILITY, f'Send {{"compatibility": LEVEL}} and nothing else: {error}') from None


def _mode_in(raw: bytes) -> str:
    try:
        return _mode_decoder.decode(raw).mode
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(errors.INVALID_MODE, f'Send {{"mode": MODE}} and nothing else: {error}') from None
