"""A tag that lives in Modbus registers: its address, what its bits mean, and what only one answer fits."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from trunkline.config.tags import TagConfig
from trunkline.sources.registers.address import Format, WordOrder, parse_format, table_of

UnitId = Annotated[int, Field(ge=0, le=255)]


def _text(given: object) -> object:
    """YAML reads 40001 as a number; it is an address all the same."""
    return str(given) if isinstance(given, int) and not isinstance(given, bool) else given


RegisterAddress = Annotated[str, BeforeValidator(_text, json_schema_input_type=str | int)]


class RegisterTag(TagConfig):
    """One value in registers."""

    address: RegisterAddress = Field(
        description="table and number: 'holding:100', 'input:3', 'coil:7', 'discrete:2'; or classic: '40001', '300017'"
    )
    format: str = Field(
        "",
        description="bool, int16, uint16, int32, uint32, int64, uint64, float32, float64, string(BYTES), bit(N) or bits(FIRST,COUNT); "
        "required for registers; coils and discrete inputs are bool",
    )
    word_order: WordOrder | None = Field(None, description="how the bytes lie in the registers; default: from the source")
    encoding: Literal["utf-8", "latin-1"] = Field("utf-8", description="characters of a string")
    scale: float = Field(1.0, allow_inf_nan=False, description="the value is raw · scale + offset")
    offset: float = Field(0.0, allow_inf_nan=False, description="the value is raw · scale + offset")
    invalid: tuple[int | float, ...] = Field((), description="raw values by which the device says 'no value': quality BAD (sensor fault)")

    @model_validator(mode="before")
    @classmethod
    def _implied(cls, given: object) -> object:
        """Fill in what only one answer fits: the format of a coil, the kind of a truth value or a text."""
        if not isinstance(given, dict) or "address" not in given:
            return given
        filled = dict(given)
        if "format" not in filled:
            address = str(filled["address"])
            if not table_of(address).is_bits:
                raise ValueError(f"a register needs a 'format': the bits of {address} can mean many things; for example format: float32")
            filled["format"] = "bool"
        if "kind" not in filled and isinstance(text := filled["format"], str):
            if text == "bool" or text.startswith("bit("):
                filled["kind"] = "boolean"
            elif text.startswith("string("):
                filled["kind"] = "text"
        return filled

    @model_validator(mode="after")
    def _meaning(self) -> "RegisterTag":
        table_of(self.address)
        layout = self.layout
        self._check_kind(layout)
        if (self.scale, self.offset) != (1.0, 0.0):
            if not layout.is_number:
                raise ValueError(f"'scale' and 'offset' mean nothing for format {self.format}: remove them")
            if self.scale == 0:
                raise ValueError("scale 0 would make every value the offset: use another scale")
            if self.kind == "integer" and not (self.scale.is_integer() and self.offset.is_integer()):
                raise ValueError("kind integer cannot hold a scaled value: use kind: double, or a whole scale and offset")
        self._check_invalid(layout)
        return self

    def _check_kind(self, layout: Format) -> None:
        if layout.is_boolean:
            fitting: tuple[str, ...] = ("boolean",)
        elif layout.name == "string":
            fitting = ("text",)
        else:
            fitting = ("double",) if layout.is_float else ("double", "integer")
        if self.kind not in fitting:
            raise ValueError(f"kind {self.kind} does not fit format {self.format}: use kind: {' or '.join(fitting)}")

    def _check_invalid(self, layout: Format) -> None:
        if self.invalid and not (layout.is_number or (layout.name == "bits" and layout.bits > 1)):
            raise ValueError(f"'invalid' means nothing for format {self.format}: remove it")
        low, high = layout.limits
        for mark in self.invalid:
            if not layout.is_float and not (float(mark).is_integer() and low <= mark <= high):
                mend = f"; for the bit pattern 0x{int(mark):X} write {int(mark) - 2 * (high + 1)}" if high < mark <= 2 * high + 1 else ""
                raise ValueError(f"invalid value {mark} can never come: {self.format} holds {low} to {high}{mend}")

    @property
    def layout(self) -> Format:
        """The parsed format. Raises ValueError."""
        return parse_format(self.format)
