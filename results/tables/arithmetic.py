"""Numbers made of a table's columns by an expression that can calculate and do nothing else.

As in `freewalk.results.tables.selection`, the expression is parsed, never evaluated as Python.
"""

import ast
import operator
import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from freewalk.results.tables.selection import LONGEST, ExpressionError, column_name, shortened

_OPERATIONS: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_FUNCTIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "abs": np.abs,
    "arccos": np.arccos,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
}
HOW_TO_WRITE: Final = "write such as: 10 * steps_to_target, or sqrt(cosine_mean); functions: " + ", ".join(_FUNCTIONS)


def calculate(table: pd.DataFrame, expression: str) -> NDArray[np.float64]:
    """Return a number for each row of a table, NaN where one that it is made of is missing.

    Known are ``+ - * / **``, parentheses, numbers, columns, and the functions abs, arccos, exp, log and sqrt. True
    counts as 1; a parameter may be named without its ``param_``.

    Raises
    ------
    ExpressionError
        The expression is not of this kind, or names a column that the table does not have or that holds words.
    """
    if len(expression) > LONGEST:
        raise ExpressionError(f"the expression has {len(expression)} characters, at most {LONGEST} are read")
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(expression.strip(), mode="eval").body
        with np.errstate(all="ignore"):
            found = _number(tree, table)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        if isinstance(error, ExpressionError):
            raise
        nested = isinstance(error, RecursionError | MemoryError)
        problem = "too deeply nested" if nested else error.msg if isinstance(error, SyntaxError) else str(error)
        raise ExpressionError(f"{shortened(repr(expression))} cannot be read ({problem}); {HOW_TO_WRITE}") from None
    return np.broadcast_to(np.asarray(found, dtype=np.float64), (len(table),)).copy()


def _number(node: ast.expr, table: pd.DataFrame) -> Any:
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name(id=name):
            return _column(name, table)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_number(operand, table)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            return _OPERATIONS[type(op)](_number(left, table), np.asarray(_number(right, table)))
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](_number(argument, table))
    part = shortened(repr(ast.unparse(node)))
    raise ExpressionError(f"{part} is no number, column, sum, product or power of them; {HOW_TO_WRITE}")


def _column(name: str, table: pd.DataFrame) -> NDArray[np.float64]:
    column = table[column_name(name, table)]
    try:
        return np.array(column.astype("float64").to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
    except (TypeError, ValueError):
        raise ExpressionError(f"{name!r} holds words; calculate with a column of numbers") from None
