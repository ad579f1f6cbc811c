"""The registry of reward terms: the decorators ``@reward`` and ``@penalty`` and what they know of a term.

A decorator checks everything, registers the term under the function's name, and returns the function unchanged.
``REGISTRY`` is the one that commands read; tests make their own ``Registry()``.
"""

import hashlib
import inspect
import keyword
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from types import CodeType
from typing import Any, Literal, TypeVar, cast

from torch import Tensor

from vbot.errors import UserError, nearest
from vbot.ranges import Range, ends

Kind = Literal["rate", "event"]
Term = TypeVar("Term", bound=Callable[..., Any])


@dataclass(frozen=True)
class TermSpec:
    """All that is known of a registered term."""

    name: str
    function: Callable[..., Any]
    scale: float
    """Registered default scale; >= 0 for a reward, <= 0 for a penalty."""
    search: Range | None
    tune: Mapping[str, Range]
    params: Mapping[str, Any]
    """Keyword parameters and their defaults."""
    kind: Kind
    penalty: bool
    decay: bool
    clip: tuple[float, float] | None
    stateful: bool
    doc: str
    file: str
    line: int

    @cached_property
    def source(self) -> str:
        """Source of the term and of what it uses of its own file: functions, and the values of constants.

        It is what the fingerprint hashes: a changed helper changes the reward as surely as a changed term does.
        """
        parts: dict[str, str] = {}
        waiting: list[Any] = [self.function]
        while waiting:
            piece = waiting.pop()
            parts[piece.__qualname__] = inspect.getsource(piece)
            functions = (
                [f for f in vars(piece).values() if inspect.isfunction(f)] if inspect.isclass(piece) else [piece]
            )
            for function in map(inspect.unwrap, functions):
                for name in _names(function.__code__):
                    value = function.__globals__.get(name)
                    if isinstance(value, (bool, int, float, str, tuple, list, dict, Tensor)):
                        parts[name] = f"{name} = {value!r}\n"
                    elif (
                        (inspect.isfunction(value) or inspect.isclass(value))
                        and value.__module__ == piece.__module__
                        and value.__qualname__ not in parts
                    ):
                        waiting.append(value)
        return "".join(parts[key] for key in sorted(parts))

    @property
    def version(self) -> str:
        """Hash of the source: the same in two places if and only if the code is."""
        return hashlib.sha256(self.source.encode()).hexdigest()[:16]

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"

    def check_scale(self, scale: float) -> None:
        """Raise UserError unless ``scale`` is a finite number of this term's sign."""
        if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not math.isfinite(scale):
            raise UserError(f"scale of {self.name!r} must be a finite number; got {scale!r}")
        if self.penalty and scale > 0:
            raise UserError(f"{self.name!r} is a penalty, its scale must be <= 0; got {scale}; did you mean {-scale}?")
        if not self.penalty and scale < 0:
            raise UserError(f"{self.name!r} is a reward, its scale must be >= 0; got {scale}; did you mean {-scale}?")

    def check_param(self, name: str, value: Any) -> None:
        """Raise UserError unless ``name`` is a parameter of this term and ``value`` has its default's type."""
        if name not in self.params:
            raise UserError(f"{self.name!r} has no parameter {name!r}{nearest(name, self.params)} ({self.place})")
        default = self.params[name]
        is_bool, want_bool = isinstance(value, bool), isinstance(default, bool)
        numeric = isinstance(default, (int, float)) and not want_bool
        is_number = isinstance(value, (int, float)) and not is_bool and math.isfinite(value)
        if not (is_number if numeric else isinstance(value, type(default)) and want_bool == is_bool):
            raise UserError(
                f"parameter {name!r} of {self.name!r} must be a "
                f"{'finite number' if numeric else type(default).__name__} like its default {default!r}; got {value!r}"
            )


class Registry(Mapping[str, TermSpec]):
    """Terms by name. Its ``reward`` and ``penalty`` are the decorators."""

    def __init__(self) -> None:
        self._terms: dict[str, TermSpec] = {}

    def __getitem__(self, name: str) -> TermSpec:
        try:
            return self._terms[name]
        except KeyError:
            raise UserError(
                f"no reward term is named {name!r}{nearest(name, self._terms)} (a term of your own: --plugin FILE)"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._terms

    def __iter__(self) -> Iterator[str]:
        return iter(self._terms)

    def __len__(self) -> int:
        return len(self._terms)

    def reward(
        self,
        *,
        scale: float,
        search: Range | None = None,
        tune: Mapping[str, Range] | None = None,
        kind: Kind = "rate",
        decay: bool = False,
        clip: tuple[float, float] | None = None,
    ) -> Callable[[Term], Term]:
        """Register a term whose raw value is paid: ``scale >= 0``.

        Args:
            scale: default scale.
            search: range of the scale in a search; None leaves it out.
            tune: ranges of keyword parameters in a search.
            kind: ``rate`` is paid per ``scale_dt`` of time; ``event`` is paid as it is, each step it is not 0: a
                bonus, or an amount such as metres gained.
            decay: multiplied by the reward set's time decay.
            clip: bounds of the weighted value per ``scale_dt`` of time.

        Raises:
            ValueError: what is wrong, with the term's name and place.
        """
        return self._decorator(False, scale, search, tune, kind, decay, clip)

    def penalty(
        self,
        *,
        scale: float,
        search: Range | None = None,
        tune: Mapping[str, Range] | None = None,
        kind: Kind = "rate",
        decay: bool = False,
        clip: tuple[float, float] | None = None,
    ) -> Callable[[Term], Term]:
        """Register a term that returns a magnitude >= 0 and costs it: ``scale <= 0``. Arguments as for reward."""
        return self._decorator(True, scale, search, tune, kind, decay, clip)

    def _decorator(
        self,
        penalty: bool,
        scale: float,
        search: Range | None,
        tune: Mapping[str, Range] | None,
        kind: Kind,
        decay: bool,
        clip: tuple[float, float] | None,
    ) -> Callable[[Term], Term]:
        def register(function: Term) -> Term:
            spec = _inspect(function, penalty, scale, search, dict(tune or {}), kind, decay, clip)
            known = self._terms.get(spec.name)
            if known is not None and known.place != spec.place:
                raise ValueError(f"reward term {spec.name!r} is registered twice: {known.place} and {spec.place}")
            self._terms[spec.name] = spec
            return function

        return register

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """What is registered within is forgotten at the end: terms of somebody else's plugins."""
        kept = dict(self._terms)
        try:
            yield
        finally:
            self._terms.clear()
            self._terms.update(kept)


def _inspect(
    function: Callable[..., Any],
    penalty: bool,
    scale: float,
    search: Range | None,
    tune: dict[str, Range],
    kind: Kind,
    decay: bool,
    clip: tuple[float, float] | None,
) -> TermSpec:
    name = function.__name__
    try:
        file = inspect.getsourcefile(inspect.unwrap(function)) or ""
        _, line = inspect.getsourcelines(inspect.unwrap(function))
    except (OSError, TypeError):
        raise ValueError(f"reward term {name!r} must be defined in a file: its source belongs to the run") from None

    def require(law: bool, message: str) -> None:
        if not law:
            raise ValueError(f"reward term {name!r} at {file}:{line}: {message}")

    stateful = inspect.isclass(function)
    if stateful:
        reset = getattr(function, "reset", None)
        takes_mask = callable(reset) and len(inspect.signature(reset).parameters) == 2
        require(takes_mask, "a term with memory needs a method reset(mask)")
        require(
            any("__call__" in vars(c) for c in inspect.getmro(cast(type, function))),
            "a term with memory needs a method __call__(s)",
        )
        given = list(inspect.signature(function).parameters.values())
        require([p.name for p in given[:2]] == ["num_envs", "device"], "__init__ must begin with (num_envs, device)")
        given = given[2:]
    else:
        given = list(inspect.signature(function).parameters.values())
        require(len(given) > 0, "a term takes the State as its first argument, as in def term(s: State)")
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        require(given[0].kind in positional, "its first argument must be the State")
        given = given[1:]
    for p in given:
        require(
            p.kind is p.KEYWORD_ONLY and p.default is not p.empty,
            f"parameter {p.name!r} must be keyword-only with a default, as in def term(s, *, {p.name}=1.0)",
        )
    params = {p.name: p.default for p in given}
    require(name.isidentifier() and not keyword.iskeyword(name), "its name must be an identifier")
    require("scale" not in params, "a parameter may not be called 'scale'")
    require(bool(inspect.getdoc(function)), "it needs a docstring: one line with its formula")
    require(kind in ("rate", "event"), f"kind must be 'rate' or 'event'; got {kind!r}")
    number = isinstance(scale, (int, float)) and not isinstance(scale, bool) and math.isfinite(scale)
    require(number, f"scale must be a finite number; got {scale!r}")
    require(
        search is None or isinstance(search, Range), f"search must be Uniform, LogUniform or Choice; got {search!r}"
    )
    for key, range_ in tune.items():
        require(isinstance(range_, Range), f"tune[{key!r}] must be Uniform, LogUniform or Choice; got {range_!r}")
    law = "a penalty has scale <= 0" if penalty else "a reward has scale >= 0"
    require(scale <= 0 if penalty else scale >= 0, f"{law}; got {scale}")
    lawful = search is None or all(end <= 0 if penalty else end >= 0 for end in ends(search))
    require(lawful, f"{law}; its search range {search} crosses 0")
    require(search is None or scale in search, f"default scale {scale} lies outside its search range {search}")
    for key, range_ in tune.items():
        require(key in params, f"tune names {key!r}, which is no keyword parameter{nearest(key, params)}")
        require(params[key] in range_, f"default {key}={params[key]!r} lies outside its range {range_}")
    fits = clip is None or (len(clip) == 2 and clip[0] < clip[1])
    require(fits, f"clip must be (low, high) with low < high; got {clip}")
    return TermSpec(
        name=name,
        function=function,
        scale=float(scale),
        search=search,
        tune=tune,
        params=params,
        kind=kind,
        penalty=penalty,
        decay=decay,
        clip=clip,
        stateful=stateful,
        doc=inspect.getdoc(function) or "",
        file=file,
        line=line,
    )


def _names(code: CodeType) -> set[str]:
    """Global and attribute names that a function uses, those of its inner functions included."""
    inner = (c for c in code.co_consts if isinstance(c, CodeType))
    return set(code.co_names).union(*map(_names, inner))


REGISTRY = Registry()
reward = REGISTRY.reward
penalty = REGISTRY.penalty
