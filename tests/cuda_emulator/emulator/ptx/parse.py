"""Reads the text of a PTX module: variables, functions, and the statements of their bodies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from emulator.ptx.types import PtxError, type_of


@dataclass(frozen=True)
class Variable:
    """An array in shared, global or constant memory; `count` is 0 where the launch gives the size."""

    space: str
    alignment: int
    type: str
    name: str
    count: int
    values: tuple[str, ...]


@dataclass(frozen=True)
class Parameter:
    """A parameter or result of a function, or the memory in which one is handed over."""

    name: str
    bytes: int


@dataclass(frozen=True)
class Instruction:
    """One instruction: `parts` are what follows the opcode, between dots."""

    opcode: str
    parts: tuple[str, ...]
    operands: tuple[str, ...]
    predicate: str
    text: str


@dataclass(frozen=True)
class Label:
    """A place that branches go to."""

    name: str


@dataclass(frozen=True)
class Directive:
    """A declaration in a body: .reg, .local, .param, .branchtargets, .loc or .pragma."""

    name: str
    rest: str


@dataclass(frozen=True)
class Brace:
    """A scope of names that opens or closes."""

    opens: bool


Item = Instruction | Label | Directive | Brace


@dataclass(frozen=True)
class Function:
    """A function or the kernel; without a body, a declaration."""

    name: str
    is_entry: bool
    results: tuple[Parameter, ...]
    parameters: tuple[Parameter, ...]
    body: tuple[Item, ...] | None


@dataclass
class Module:
    """All that a PTX text defines; `files` are the sources that .loc counts."""

    variables: list[Variable] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)


_VARIABLE = re.compile(
    r"(?:\.(?:visible|extern|weak|common)\s+)?\.(shared|global|const)\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+"
    r"([\w$]+)\s*(\[\s*(\d*)\s*\])?\s*(?:=\s*(.*))?$",
    re.S,
)
_FUNCTION = re.compile(
    r"(?:\.(?:visible|extern|weak)\s+)?\.(func|entry)\s*(?:\(([^)]*)\)\s*)?([\w$]+)\s*(?:\(([^)]*)\))?"
    r"(?:\s*\.(?:noreturn|maxntid|minnctapersm|maxnreg|reqntid)[\s\d,]*)*\s*$",
    re.S,
)
_PARAMETER = re.compile(
    r"\.param\s+(?:\.align\s+\d+\s+)?\.(\w+)\s+(?:\.ptr\s+)?(?:\.(?:global|shared|const|local)\s+)?"
    r"(?:\.align\s+\d+\s+)?([\w$]+)(?:\[(\d+)\])?$"
)
_INSTRUCTION = re.compile(r"(?:@(!?%?[\w$]+)\s+)?([a-z]\w*)((?:\.[\w:]+)*)\s*(.*)$", re.S)


def parse(ptx: str) -> Module:
    """Read a module.

    Raises
    ------
    PtxError
        If a declaration or statement is not understood.
    """
    text = re.sub(r"/\*.*?\*/", "", ptx, flags=re.S)
    text = re.sub(r"//[^\n]*", "", text)
    text = re.sub(r"\.section\s+\S+\s*\{.*?\}", "", text, flags=re.S)
    files = dict(re.findall(r'^\s*\.file\s+(\d+)\s+"([^"]*)"', text, re.M))
    if not re.search(r"\.address_size\s+64\b", text):
        raise PtxError("only PTX of .address_size 64 is translated")
    text = re.sub(r"^\s*\.(?:version|target|address_size|file)\b[^\n]*$", "", text, flags=re.M)
    text = re.sub(r"^(\s*\.loc\b[^\n;]*)$", r"\1;", text, flags=re.M)
    module = Module(files=files)
    for head, body in _declarations(text):
        if variable := _VARIABLE.match(head):
            module.variables.append(_variable(variable))
        elif function := _FUNCTION.match(head):
            module.functions.append(_function(function, body))
        elif head:
            raise PtxError(f"unknown declaration: {_shortened(head)}")
    return module


def _declarations(text: str) -> Iterator[tuple[str, str | None]]:
    """Yield the module's declarations, each with what stands between its braces."""
    start = position = 0
    while position < len(text):
        if text[position] == ";":
            yield text[start:position].strip(), None
            start = position + 1
        elif text[position] == "{":
            end = _closing_brace(text, position)
            head = text[start:position]
            if "=" in head:  # values of an array; the semicolon follows
                position = text.index(";", end)
                yield text[start:position].strip(), None
            else:
                yield head.strip(), text[position + 1 : end]
                position = end
            start = position + 1
        position += 1
    if rest := text[start:].strip():
        raise PtxError(f"unknown declaration: {_shortened(rest)}")


def _closing_brace(text: str, position: int) -> int:
    depth = 0
    for found in re.compile(r"[{}]").finditer(text, position):
        depth += 1 if found.group() == "{" else -1
        if depth == 0:
            return found.start()
    raise PtxError("a brace is never closed")


def _variable(found: re.Match[str]) -> Variable:
    space, alignment, type_name, name, brackets, count, values = found.groups()
    listed = tuple(value.strip() for value in (values or "").strip("{} \n\t").split(",") if value.strip())
    size = int(count or len(listed)) if brackets else 1
    return Variable(space, int(alignment or type_of(type_name).bytes), type_name, name, size, listed)


def _function(found: re.Match[str], body: str | None) -> Function:
    kind, results, name, parameters = found.groups()
    items = None if body is None else tuple(_items(body))
    return Function(name, kind == "entry", _parameters(results or ""), _parameters(parameters or ""), items)


def _parameters(text: str) -> tuple[Parameter, ...]:
    return tuple(parse_parameter(part.strip()) for part in text.split(",") if part.strip())


def parse_parameter(text: str) -> Parameter:
    """Read `.param .align 8 .b8 name[16]` and the like."""
    found = _PARAMETER.match(text)
    if not found:
        raise PtxError(f"unknown parameter: {text}")
    return Parameter(found[2], type_of(found[1]).bytes * int(found[3] or 1))


def _items(body: str) -> Iterator[Item]:
    """Yield the statements, labels and scopes of a function's body."""
    statement = ""
    for piece in re.split(r"([;:{}])", body):
        if piece == "{" and not statement.strip():
            yield Brace(opens=True)
        elif piece == "}" and "{" not in statement:
            yield Brace(opens=False)
        elif piece == ":" and re.fullmatch(r"\s*[\w$]+", statement):
            yield Label(statement.strip())
            statement = ""
        elif piece == ";":
            if words := " ".join(statement.split()):
                yield _statement(words)
            statement = ""
        else:
            statement += piece


def _statement(text: str) -> Instruction | Directive:
    if text.startswith("."):
        name, _, rest = text[1:].partition(" ")
        return Directive(name, rest)
    found = _INSTRUCTION.match(text)
    if not found:
        raise PtxError(f"unknown statement: {_shortened(text)}")
    predicate, opcode, parts, rest = found.groups()
    return Instruction(opcode, tuple(parts.split(".")[1:]), split_operands(rest), predicate or "", text)


def split_operands(text: str) -> tuple[str, ...]:
    """Split at the commas outside of braces, brackets and parentheses."""
    if not any(bracket in text for bracket in "{[("):
        return tuple(operand for part in text.split(",") if (operand := part.strip()))
    operands, depth = [""], 0
    for character in text:
        depth += (character in "{[(") - (character in "}])")
        if character == "," and depth == 0:
            operands.append("")
        else:
            operands[-1] += character
    return tuple(operand.strip() for operand in operands if operand.strip())


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 160 else line[:157] + "..."
