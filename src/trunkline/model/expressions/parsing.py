"""Text of an expression into a tree of our own: tokens first, then Python's grammar over placeholders.

Every tag, number, text and name is read by the tokeniser and replaced, in place, by as many underscores before Python's parser sees the
text. What comes back from it can only be structure: names without meaning, operators, calls and `if`/`else`. Nothing of it is ever run.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, NoReturn

from trunkline.model.tags import SEPARATOR, TagPath

#: Limits of one expression. A derived tag may be the input of another, so that none of them needs to be larger.
MAX_CHARACTERS: Final = 4_000
MAX_TOKENS: Final = 1_000
MAX_DEPTH: Final = 100
#: Digits after the point that `round` may be asked for.
MAX_DIGITS: Final = 12

#: Functions: fewest and most arguments.
FUNCTIONS: Final = {
    "abs": (1, 1),
    "min": (2, 100),
    "max": (2, 100),
    "sqrt": (1, 1),
    "exp": (1, 1),
    "log": (1, 1),
    "round": (1, 2),
    "clamp": (3, 3),
    "isgood": (1, 1),
    "age": (1, 1),
}
#: Functions of a tag itself, not of its value.
OF_TAGS: Final = frozenset({"isgood", "age"})
#: Words that stand for yes and no, in any case.
WORDS: Final = {"on": True, "off": False, "true": True, "false": False}

_GRAMMAR: Final = frozenset({"and", "or", "not", "if", "else"})
_TOKEN: Final = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
      | (?P<text>"[^"\n]*"|'[^'\n]*')
      | (?P<quoted>`[^`\n]*`)
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*)
      | (?P<operator>\*\*|==|!=|<=|>=|[-+*/%<>(),])
    """,
    re.VERBOSE,
)
_MENDS: Final = {
    "=": "to compare, write '=='",
    "!": "write 'not', or '!=' for 'differs from'",
    "&": "write 'and'",
    "|": "write 'or'",
    "^": "write '**' for a power",
    "≥": "write '>='",
    "≤": "write '<='",
    "≠": "write '!='",
    "\N{MULTIPLICATION SIGN}": "write '*'",
    "·": "write '*'",
    "÷": "write '/'",
    "\N{MINUS SIGN}": "write '-'",
    "`": "close the backtick: `PLANT01.PUMP-7.FLOW`",
    '"': "close the text with another double quote",
    "'": "close the text with another single quote",
    ";": "write one expression",
    "[": "use round brackets",
    "]": "use round brackets",
    "{": "use round brackets",
    "}": "use round brackets",
}
_BINARY: Final[dict[type[ast.operator], str]] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Mod: "%", ast.Pow: "**"}
_UNARY: Final[dict[type[ast.unaryop], str]] = {ast.USub: "negate", ast.UAdd: "", ast.Not: "not"}
_COMPARE: Final[dict[type[ast.cmpop], str]] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}


@dataclass(frozen=True, slots=True)
class Node:
    """One place of the tree.

    Attributes:
        op: 'number', 'truth', 'text', 'tag'; 'isgood', 'age' of a tag; '+', '-', '*', '/', '%', '**', 'negate'; a function's name;
            'compare'; 'and', 'or', 'not'; 'if' (condition, then, else); 'when' (expression, condition).
        column: where it begins in the text, from 1.
        args: what it is made of.
        value: of a literal itself; of 'tag', 'isgood' and 'age' the full path; of 'round' the digits after the point.
        comparisons: of 'compare', one for each pair of neighbours among `args`: '==', '!=', '<', '<=', '>', '>='.
    """

    op: str
    column: int
    args: tuple["Node", ...] = ()
    value: float | bool | str = 0.0
    comparisons: tuple[str, ...] = ()

    def walk(self) -> Iterator["Node"]:
        """Yield this and everything below it, in the order of the text."""
        yield self
        for arg in self.args:
            yield from arg.walk()


class _Token(NamedTuple):
    kind: str
    text: str
    start: int


def fail(column: int, message: str) -> NoReturn:
    """Raise the error of an expression. Raises ValueError, always."""
    raise ValueError(f"column {column}: {message}")


def parse(text: str, home: str) -> Node:
    """Return the tree of an expression.

    Args:
        text: the expression; line breaks count as spaces.
        home: asset whose tags may be named without it; '' for none.

    Raises:
        ValueError: names the column and the mend.
    """
    if len(text) > MAX_CHARACTERS:
        fail(MAX_CHARACTERS + 1, f"an expression has at most {MAX_CHARACTERS} characters: make a derived tag of a part of it")
    tokens = list(_tokens(text))
    if not tokens:
        fail(1, "the expression is empty: write for example FLOW_RATE * 2")
    if len(tokens) > MAX_TOKENS:
        fail(tokens[MAX_TOKENS].start + 1, f"more than {MAX_TOKENS} parts: make a derived tag of some of them")
    places = [number for number, token in enumerate(tokens) if token.kind == "word" and token.text == "when"]
    if len(places) > 1:
        fail(tokens[places[1]].start + 1, "a second 'when': join conditions with 'and'")
    if not places:
        root = _Reader(tokens, home).tree()
    else:
        (place,) = places
        if not tokens[:place] or not tokens[place + 1 :]:
            fail(tokens[place].start + 1, "'when' stands between what is judged and its condition: FLOW > 0 when PUMP == off")
        parts = (_Reader(tokens[:place], home).tree(), _Reader(tokens[place + 1 :], home).tree())
        root = Node("when", tokens[place].start + 1, parts)
    return root


def _tokens(text: str) -> Iterator[_Token]:
    position, touching = 0, False
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            sign = text[position]
            fail(position + 1, f"{sign!r} has no place in an expression" + (f": {_MENDS[sign]}" if sign in _MENDS else ""))
        kind, position = str(found.lastgroup), found.end()
        if kind == "number" and re.match(r"[\w.]", text[position : position + 1]):
            fail(found.start() + 1, f"{found[0]!r} runs into what follows: a tag that begins with a digit is written in backticks")
        part = kind not in ("space", "operator")
        if part and touching:  # as placeholders they would become one
            fail(found.start() + 1, f"{found[0]!r} runs into what stands before it: put an operator or a space between them")
        touching = part
        if kind != "space":
            yield _Token(kind, found[0], found.start())


class _Shape(NamedTuple):
    """What an operation of Python's grammar is in ours; `op` is '' where it is nothing but its argument."""

    op: str
    args: list[ast.expr]
    comparisons: tuple[str, ...] = ()


def _shape(node: ast.expr) -> _Shape | None:
    found: _Shape | None = None
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            found = _Shape(_BINARY[type(op)], [left, right])
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            found = _Shape(_UNARY[type(op)], [operand])
        case ast.BoolOp(op=op, values=values):
            found = _Shape("and" if isinstance(op, ast.And) else "or", values)
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in _COMPARE for op in ops):
            found = _Shape("compare", [left, *others], tuple(_COMPARE[type(op)] for op in ops))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            found = _Shape("if", [test, body, orelse])
    return found


class _Reader:
    """Turns the tokens of one part (the whole, or either side of `when`) into a tree."""

    def __init__(self, tokens: list[_Token], home: str) -> None:
        self._home = home
        self._tokens = tokens
        self._by_start = {token.start: token for token in tokens}
        self._first = tokens[0].start

    def tree(self) -> Node:
        blank = [" "] * (self._tokens[-1].start + len(self._tokens[-1].text) - self._first)
        for token in self._tokens:
            keep = token.kind == "operator" or token.text in _GRAMMAR
            shown = token.text if keep else "_" * len(token.text)
            blank[token.start - self._first : token.start - self._first + len(token.text)] = shown
        try:
            parsed = ast.parse("".join(blank), mode="eval")
        except SyntaxError as error:
            offset = error.offset if error.offset and error.offset <= len(blank) else len(blank) + 1
            fail(self._first + offset, f"here the expression cannot be read: {self._guess(error)}")
        except (RecursionError, MemoryError):
            fail(self._first + 1, "too many brackets or signs inside each other: make a derived tag of a part of it")
        return self._node(parsed.body, 1)

    def _guess(self, error: SyntaxError) -> str:
        for token in self._tokens:
            if token.text in ("AND", "OR", "NOT", "IF", "ELSE"):
                return f"write {token.text.lower()!r} instead of {token.text!r}"
        if "never closed" in error.msg or "unmatched" in error.msg or "does not match" in error.msg:
            return "each '(' needs its ')'"
        if "'else'" in error.msg:
            return "a choice is written A if CONDITION else B"
        return "an operator, a tag or a bracket is missing or too much"

    def _node(self, node: ast.expr, depth: int) -> Node:
        column = self._first + node.col_offset + 1
        if depth > MAX_DEPTH:
            fail(column, f"more than {MAX_DEPTH} operations inside each other: use brackets to balance, or make a derived tag of a part")
        if isinstance(node, ast.Name):
            found = self._name(self._token(node))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            found = self._call(self._token(node.func), node.args, column, depth)
        else:
            shape = _shape(node)
            if shape is None:
                fail(column, "here the expression cannot be read: only numbers, tags, operators and calls of functions are known")
            below = tuple(self._node(one, depth + 1) for one in shape.args)
            found = Node(shape.op, column, below, comparisons=shape.comparisons) if shape.op else below[0]
        return found

    def _token(self, name: ast.Name) -> _Token:
        return self._by_start[self._first + name.col_offset]

    def _call(self, name: _Token, args: list[ast.expr], column: int, depth: int) -> Node:
        if name.kind != "word" or name.text not in FUNCTIONS:
            mend = f"there are {', '.join(FUNCTIONS)}"
            fail(column, f"{name.text!r} is no function: {mend}" if name.kind == "word" else f"{name.text!r} cannot be called: {mend}")
        least, most = FUNCTIONS[name.text]
        if not least <= len(args) <= most:
            count = str(least) if least == most else f"{least} to {most}"
            fail(column, f"{name.text} takes {count} argument{'' if count == '1' else 's'}, not {len(args)}")
        if any(isinstance(arg, ast.Starred) for arg in args):
            fail(column, f"the arguments of {name.text} are listed one by one")
        below = tuple(self._node(arg, depth + 1) for arg in args)
        if name.text in OF_TAGS:
            if below[0].op != "tag":
                fail(below[0].column, f"{name.text} asks about a tag: name one")
            return Node(name.text, column, value=below[0].value)
        if name.text == "round":
            return Node("round", column, below[:1], value=self._digits(below[1]) if len(below) > 1 else 0.0)
        return Node(name.text, column, below)

    def _digits(self, node: Node) -> float:
        if node.op != "number" or node.value not in range(MAX_DIGITS + 1):
            fail(node.column, f"the digits that 'round' leaves after the point are a number from 0 to {MAX_DIGITS}")
        return float(node.value)

    def _name(self, token: _Token) -> Node:
        column = token.start + 1
        if token.kind == "number":
            number = float(token.text)
            if number == float("inf"):
                fail(column, f"{token.text} is too large: at most 1.7e308")
            return Node("number", column, value=number)
        if token.kind == "text":
            return Node("text", column, value=token.text[1:-1])
        if token.kind == "word" and token.text.lower() in WORDS:
            return Node("truth", column, value=WORDS[token.text.lower()])
        if token.kind == "word" and token.text in FUNCTIONS:
            fail(column, f"{token.text} is a function: write {token.text}(...)")
        return Node("tag", column, value=self._path(token))

    def _path(self, token: _Token) -> str:
        text = token.text.strip("`")
        full = f"{self._home}{SEPARATOR}{text}" if self._home and SEPARATOR not in text else text
        try:
            TagPath.parse(full)
        except ValueError as error:
            fail(token.start + 1, f"{text!r} is neither a tag nor a word of the language: {error}")
        return full
