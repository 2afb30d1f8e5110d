"""Rows of a table by an expression that can look at values and do nothing else.

The expression is parsed, never evaluated as Python: names are columns, and there are no calls, attributes, subscripts
or arithmetic.
"""

import ast
import itertools
import math
import operator
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd

from freewalk.results.base.names import nearest
from freewalk.results.schema.schema import PARAMETER_PREFIX

Mask: TypeAlias = pd.Series

LONGEST: Final = 1000
"""Characters; nobody writes more, and the parser's stack has an end."""
_SHOWN: Final = 60

_COMPARISONS: Final[dict[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
HOW_TO_WRITE: Final = "write such as: task == 'xor' and stddev <= 0.1 and outcome in ['reached', 'exhausted']"


class ExpressionError(ValueError):
    """The expression says something it may not, or that the table cannot answer; one line that names the part."""


def select(table: pd.DataFrame, expression: str) -> pd.DataFrame:
    """Return the rows for which an expression is true.

    Known are ``== != < <= > >=``, ``in`` and ``not in`` a list, ``and or not`` (also ``& | ~``), parentheses, numbers,
    texts in quotes, ``True``, ``False``, and ``None`` for what is missing. A name is a column; a parameter may be named
    without its ``param_``. A comparison with a missing value is false, and so is that of a word with a number; numbers
    that stand as text beside words are numbers.

    Parameters
    ----------
    table : pandas.DataFrame
    expression : str
        At most 1000 characters.

    Returns
    -------
    pandas.DataFrame
        The chosen rows, with their index.

    Raises
    ------
    ExpressionError
        The expression is not of this kind, or names a column that the table does not have.
    """
    if len(expression) > LONGEST:
        raise ExpressionError(f"the expression has {len(expression)} characters, at most {LONGEST} are read")
    try:
        with warnings.catch_warnings(action="ignore"):  # of backslashes in texts
            tree = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        problem = error.msg if isinstance(error, SyntaxError) else str(error) or "too deeply nested"
        raise ExpressionError(f"{shortened(repr(expression))} cannot be read ({problem}); {HOW_TO_WRITE}") from None
    try:
        return table[_truth(tree, table)]
    except (RecursionError, OverflowError) as error:
        problem = "is too deeply nested" if isinstance(error, RecursionError) else "holds too large a number"
        raise ExpressionError(f"{shortened(repr(expression))} {problem}; {HOW_TO_WRITE}") from None


def _truth(node: ast.expr, table: pd.DataFrame) -> Mask:
    """Return where a part of the expression is true, missing as false."""
    match node:
        case ast.BoolOp(op=op, values=values):
            return _joined([_truth(value, table) for value in values], isinstance(op, ast.And))
        case ast.BinOp(left=left, op=(ast.BitAnd() | ast.BitOr()) as op, right=right):
            return _joined([_truth(left, table), _truth(right, table)], isinstance(op, ast.BitAnd))
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
            return ~_truth(operand, table)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            sides = [left, *comparators]
            parts = [_compared(op, *pair, table) for op, pair in zip(ops, itertools.pairwise(sides), strict=True)]
            return _joined(parts, True)
        case ast.Name():
            column = _column(node, table)
            if isinstance(column.dtype, pd.BooleanDtype):
                return column.fillna(False).astype(bool)
            raise _refusal(node, "is neither true nor false: compare it with a value")
    raise _refusal(node, "is not a comparison")


def _joined(parts: Sequence[Mask], every: bool) -> Mask:
    joined = parts[0]
    for part in parts[1:]:
        joined = joined & part if every else joined | part
    return joined


def _compared(op: ast.cmpop, left: ast.expr, right: ast.expr, table: pd.DataFrame) -> Mask:
    if isinstance(op, ast.In | ast.NotIn):
        if not isinstance(right, ast.List | ast.Tuple | ast.Set):
            raise _refusal(right, "is not a list of values")
        column = _column(left, table)
        found = _joined([_equal(column, _constant(item)) for item in right.elts] or [column.isna() & False], False)
        return ~found if isinstance(op, ast.NotIn) else found
    if type(op) not in _COMPARISONS:
        raise _refusal(left, "is compared with 'is'; use ==")
    if not _is_column(left):
        if not _is_column(right):
            raise _refusal(left, "is compared with another value, not with a column")
        return _compared(_mirrored(op), right, left, table)
    column = _column(left, table)
    other = _column(right, table) if _is_column(right) else _constant(right)
    if isinstance(op, ast.Eq):
        return _equal(column, other)
    if isinstance(op, ast.NotEq):
        there = column.notna() & other.notna() if isinstance(other, pd.Series) else column.notna()
        return ~_equal(column, other) & there
    if other is None:
        raise _refusal(left, "is compared in size with None; use == None")
    try:
        return _known(_COMPARISONS[type(op)](_as_numbers(column, other), other), table)
    except TypeError:
        kind = "text" if isinstance(column.dtype, pd.StringDtype) else "numbers"
        raise _refusal(left, f"holds {kind} and cannot be compared in size with {ast.unparse(right)}") from None


def _mirrored(op: ast.cmpop) -> ast.cmpop:
    swap: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE}
    return swap.get(type(op), type(op))()


def _as_numbers(column: pd.Series, other: Any) -> pd.Series:
    """Return a column as numbers where its texts are, beside words, and it is compared with one; words are missing."""
    if isinstance(other, int | float) and isinstance(column.dtype, pd.StringDtype):
        numbers = pd.to_numeric(column, errors="coerce")
        return numbers if numbers.notna().any() else column
    return column


def _equal(column: pd.Series, other: Any) -> Mask:
    """Compare for equality; values of different kinds are not equal."""
    if other is None:
        return column.isna()
    column = _as_numbers(column, other)
    is_text = isinstance(column.dtype, pd.StringDtype)
    if not isinstance(other, pd.Series) and is_text is not isinstance(other, str):
        return column.isna() & False
    return _known(column == other, column)


def _known(answer: pd.Series, like: pd.DataFrame | pd.Series) -> Mask:
    return pd.Series(np.asarray(answer.fillna(False), dtype=np.bool_), index=like.index)


def _is_column(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id != "inf"


def _column(node: ast.expr, table: pd.DataFrame) -> pd.Series:
    if not isinstance(node, ast.Name):
        raise _refusal(node, "is not the name of a column")
    return table[column_name(node.id, table)]


def column_name(name: str, table: pd.DataFrame) -> str:
    """Return the column that a name stands for: itself, or the parameter of that name.

    Raises
    ------
    ExpressionError
        There is no such column.
    """
    for candidate in (name, PARAMETER_PREFIX + name):
        if candidate in table.columns:
            return candidate
    known = [str(column).removeprefix(PARAMETER_PREFIX) for column in table.columns]
    raise ExpressionError(f"there is no column {name!r}{nearest(name, known)}; known: {', '.join(known)}")


def _constant(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=str() | int() | float() | None as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.Name(id="inf"):
            return math.inf
        case ast.UnaryOp(op=ast.USub(), operand=ast.Name(id="inf")):
            return -math.inf
    raise _refusal(node, "is not a number, text, True, False or None")


def _refusal(node: ast.expr, problem: str) -> ExpressionError:
    return ExpressionError(f"{shortened(ast.unparse(node))} {problem}; {HOW_TO_WRITE}")


def shortened(text: str) -> str:
    """Return a part of an expression as a message has it."""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
