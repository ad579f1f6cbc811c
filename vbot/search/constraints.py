"""Constraints of a search space: small expressions over parameter names, parsed and interpreted, never executed."""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from vbot.errors import UserError, nearest

_LONGEST = 500
"""Characters of an expression; Python's parser may overflow its stack on much longer ones."""

_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda value, values: value in values,
    ast.NotIn: lambda value, values: value not in values,
}
# No power: 9**9**9 would never come back.
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_SIGN: dict[type, Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_}


class Constraint:
    """An expression that drops a sample where it is true: ``learning_rate > 5e-4 and learning_epochs > 8``.

    It may hold names (dotted ones too), numbers, text, lists, ``and or not``, comparisons, ``in``, and ``+ - * /``
    of numbers.

    Raises:
        UserError: no such expression.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        if not isinstance(text, str) or len(text) > _LONGEST:
            raise UserError(f"a constraint must be text of at most {_LONGEST} characters; got {str(text)[:60]!r}")
        try:
            self._tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise self._error("it is no expression, as in learning_rate > 5e-4 and learning_epochs > 8") from None
        self.names: frozenset[str] = frozenset(self._check(self._tree))
        if not self.names:
            raise self._error("it names no parameter")

    def drops(self, values: Mapping[str, Any]) -> bool:
        """Whether the sample of these ``values``, by every name that occurs, is to be dropped.

        Raises:
            UserError: values that cannot be compared or calculated with, or a name that has none.
        """
        try:
            result = self._value(self._tree, values)
        except KeyError as error:
            name = error.args[0]
            raise self._error(f"unknown parameter {name!r}{nearest(name, values)}") from None
        except ZeroDivisionError:
            raise self._error("it divides by 0") from None
        except TypeError as error:
            raise self._error(str(error)) from None
        if not isinstance(result, bool):
            raise self._error(f"it must be true or false; it is {result!r}")
        return result

    def __repr__(self) -> str:
        return f"Constraint({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constraint) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def _check(self, node: ast.expr) -> list[str]:
        """Names in an expression, all of whose parts are allowed."""
        match node:
            case ast.Name(id=name):
                return [name]
            case ast.Attribute():
                return [self._dotted(node)]
            case ast.Constant(value=bool() | int() | float() | str()):
                return []
            case ast.BoolOp(values=parts) | ast.List(elts=parts) | ast.Tuple(elts=parts):
                pass
            case ast.UnaryOp(op=op, operand=part) if type(op) in _SIGN:
                parts = [part]
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                parts = [left, right]
            case ast.Compare(left=left, ops=ops, comparators=rights) if all(type(op) in _COMPARE for op in ops):
                parts = [left, *rights]
            case _:
                raise self._error(
                    f"{ast.unparse(node)!r} is not allowed; use names, numbers, and or not, comparisons, + - * /"
                )
        return [name for part in parts for name in self._check(part)]

    def _value(self, node: ast.expr, values: Mapping[str, Any]) -> Any:
        match node:
            case ast.Name(id=name):
                return _comparable(values[name])
            case ast.Attribute():
                return _comparable(values[self._dotted(node)])
            case ast.Constant(value=value):
                return value
            case ast.List(elts=parts) | ast.Tuple(elts=parts):
                return tuple(self._value(part, values) for part in parts)
            case ast.BoolOp(op=op, values=parts):
                # Not all() and any(): a part that is no truth value is a mistake wherever it stands.
                truths = [self._truth(part, values) for part in parts]
                return all(truths) if isinstance(op, ast.And) else any(truths)
            case ast.UnaryOp(op=ast.Not(), operand=part):
                return not self._truth(part, values)
            case ast.UnaryOp(op=op, operand=part):
                return _SIGN[type(op)](_number(self._value(part, values)))
            case ast.BinOp(left=left, op=op, right=right):
                return _ARITHMETIC[type(op)](_number(self._value(left, values)), _number(self._value(right, values)))
            case ast.Compare(left=left, ops=ops, comparators=rights):
                sides = [self._value(side, values) for side in (left, *rights)]
                return all(_COMPARE[type(op)](a, b) for op, a, b in zip(ops, sides, sides[1:], strict=False))
        raise AssertionError(f"{ast.dump(node)} passed the check")

    def _truth(self, node: ast.expr, values: Mapping[str, Any]) -> bool:
        value = self._value(node, values)
        if not isinstance(value, bool):
            raise self._error(f"{ast.unparse(node)!r} must be true or false; it is {value!r}")
        return value

    def _dotted(self, node: ast.expr) -> str:
        if isinstance(node, ast.Name):
            return node.id
        if isinstance(node, ast.Attribute):
            return f"{self._dotted(node.value)}.{node.attr}"
        raise self._error(f"{ast.unparse(node)!r} is no name")

    def _error(self, message: str) -> UserError:
        return UserError(f"constraint {self.text!r}: {message}")


def _comparable(value: Any) -> Any:
    """Lists compare with tuples: both are written [256, 128] by a user."""
    return tuple(value) if isinstance(value, list) else value


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"it calculates with {value!r}, which is no number")
    return value
