"""Plug-ins: tasks, methods and networks of one's own, from Python files and entry points of installed packages.

A plug-in is named by its file's path, or pinned to what the file held: `PATH@sha256:HEX`. A process that is handed
pinned names loads the same text or says that it has changed.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Self

from freewalk.harness.base.errors import UsageError
from freewalk.harness.methods.method import OwnMethod
from freewalk.harness.methods.own_networks import add_network, remove_network
from freewalk.harness.parameters.parameters import add_method, add_task_parameters, keep_task_parameters, remove_method
from freewalk.harness.plan import objects
from freewalk.kernels.model.own_network import OwnNetwork

GROUPS = ("freewalk.tasks", "freewalk.methods", "freewalk.networks")
"""Groups of entry points whose objects are a `Task`, an `OwnMethod` or an `OwnNetwork`, or a list of them."""

_PINNED = re.compile(r"(?P<path>.+)@sha256:(?P<sha256>[0-9a-f]{64})")
_NUMBA_FUNCTION = re.compile(r"<function (\w+) at ")


@dataclass(frozen=True)
class Plugin:
    """A plug-in's file, and what it holds."""

    path: Path
    """Absolute."""
    sha256: str
    """Of its bytes."""

    @classmethod
    def of(cls, spec: str, folder: Path | None = None) -> Self:
        """Return the plug-in of a path, seen from `folder` or the present one, or of a pinned name.

        Raises
        ------
        UsageError
            If the file cannot be read, or does not hold what a pinned name says.
        """
        pinned = _PINNED.fullmatch(spec)
        path = _path_of(spec, folder)
        try:
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise UsageError(f"--plugin {spec}: cannot be read ({error.strerror}); give a Python file") from None
        if pinned and pinned["sha256"] != sha256:
            raise UsageError(
                f"--plugin {path}: the file has changed: its SHA-256 is {sha256[:12]}… and was"
                f" {pinned['sha256'][:12]}…; put the old file back, start a new sweep with the new one, or name the"
                " file with --plugin and add --retry-failed"
            )
        return cls(path, sha256)

    @property
    def pinned(self) -> str:
        """The name that holds for this text only."""
        return f"{self.path}@sha256:{self.sha256}"


class _Brought(NamedTuple):
    """Names of what was registered."""

    tasks: list[str]
    methods: list[str]
    networks: list[str]


@dataclass(frozen=True)
class _Loaded:
    plugin: Plugin
    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    networks: tuple[str, ...] = ()


_loaded: dict[str, _Loaded] = {}
"""By SHA-256."""
_LONGEST_REASON = 300
_entry_points_done: dict[str, dict[str, str]] = {}
"""What installed packages have brought, by group and name."""


def sha256_of(pinned: str) -> str:
    """Return the SHA-256 that a pinned name holds."""
    found = _PINNED.fullmatch(pinned)
    if found is None:
        raise ValueError(f"{pinned!r} is not pinned")
    return found["sha256"]


def text_of(pinned: str) -> dict[str, str]:
    """Describe a plug-in's present text: path, SHA-256, and a digest of its code without comments and layout.

    The last tells a change that decides something from one that does not; versions of Python may differ in it.
    """
    if objects.is_object(pinned):
        return objects.text_of(pinned)
    plugin = Plugin.of(pinned)
    tree = ast.parse(plugin.path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            node.body = [one for one in body if not _is_docstring(one)]  # type: ignore[attr-defined]
    code = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    return {"path": str(plugin.path), "sha256": plugin.sha256, "code": code}


def _is_docstring(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def without(given: Iterable[str], specs: Iterable[str], folder: Path) -> list[str]:
    """Give the specifications of those plug-ins, seen from a folder, whose files are not among the given, pinned ones.

    So a file that has changed can be given again although a sweep's file still names its old text.
    """
    loaded = list(given)
    paths = {_path_of(spec, None) for spec in loaded}
    return [
        spec
        for spec in specs
        if _path_of(spec, folder) not in paths and not any(objects.same_object(spec, one) for one in loaded)
    ]


def _path_of(spec: str, folder: Path | None) -> Path:
    pinned = _PINNED.fullmatch(spec)
    return ((folder or Path()) / Path(pinned["path"] if pinned else spec).expanduser()).resolve()


def load_plugins(specs: Iterable[str | Path], folder: Path | None = None) -> tuple[str, ...]:
    """Load plug-ins, those of installed packages first; those that are loaded already stay as they are.

    Parameters
    ----------
    specs
        Paths of Python files, or pinned names; those of objects of this process too, while they are present.
    folder
        Where paths start that are not absolute; None for the present folder.

    Returns
    -------
    Their pinned names, each once, in the order given

    Raises
    ------
    UsageError
        If a file cannot be read, raises an error, brings nothing, or a name that is taken: one line that
        names the file and, where there is one, the line.
    """
    load_entry_points()
    pinned: dict[str, None] = {}
    for spec in specs:
        if objects.is_object(str(spec)):
            objects.refuse_absent(str(spec))
            pinned[str(spec)] = None
            continue
        plugin = Plugin.of(str(spec), folder)
        if plugin.sha256 not in _loaded:
            _unload_older(plugin.path)
            _loaded[plugin.sha256] = _load(plugin)
        pinned[plugin.pinned] = None
    return tuple(pinned)


def load_entry_points() -> None:
    """Register what installed packages offer; once a process.

    Raises
    ------
    UsageError
        If one cannot be loaded: with its name and its package.
    """
    for group in GROUPS:
        for point in importlib.metadata.entry_points(group=group):
            name = f"{group}:{point.name}={point.value}"
            if name in _entry_points_done:
                continue
            package = point.dist.name if point.dist else "a package without a name"
            where = f"entry point {point.name!r} ({point.value}) of {package}: "
            try:
                brought = point.load()
            except Exception as error:
                raise UsageError(f"{where}{_what(error)}; mend or uninstall {package}") from None
            _register(tuple(_members(brought)), where)
            version = point.dist.version if point.dist else ""
            _entry_points_done[name] = {
                "group": group, "name": point.name, "value": point.value, "package": package, "version": version
            }  # fmt: skip


@contextmanager
def lent(own: Iterable[Any]) -> Iterator[None]:
    """Register tasks, methods and networks that are objects of this process, for as long as the context lasts.

    Raises
    ------
    UsageError
        If a name is taken, or one does not compile.
    """
    brought = _register(tuple(own), "")
    try:
        yield
    finally:
        _forget(*brought)


def entry_point_facts() -> list[dict[str, str]]:
    """Return what installed packages have brought, with their versions."""
    return [dict(facts) for _, facts in sorted(_entry_points_done.items())]


def comes_from_a_plugin(error: BaseException) -> bool:
    """Tell whether an error was raised by a line of a plug-in, or by what such a line has called."""
    files = {str(one.plugin.path) for one in _loaded.values()}
    packages = {facts["value"].partition(":")[0].partition(".")[0] for facts in _entry_points_done.values()}
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(
        frame.f_code.co_filename in files or str(frame.f_globals.get("__name__", "")).partition(".")[0] in packages
        for frame in frames
    )


def _unload_older(path: Path) -> None:
    """Forget what an earlier text of the same file brought, in a process that goes on while a file is edited."""
    for sha256, older in list(_loaded.items()):
        if older.plugin.path == path:
            _forget(older.tasks, older.methods, older.networks)
            del _loaded[sha256]


def unload_all() -> None:
    """Forget every plug-in from a file."""
    for sha256, one in list(_loaded.items()):
        _forget(one.tasks, one.methods, one.networks)
        del _loaded[sha256]


def _forget(tasks: Iterable[str], methods: Iterable[str], networks: Iterable[str] = ()) -> None:
    from freewalk.tasks import registry as task_registry

    for name in tasks:
        task_registry.unregister(name)
    keep_task_parameters({name for task in task_registry.TASKS.values() for name in task.parameters})
    for name in methods:
        remove_method(name)
    for name in networks:
        remove_network(name)


def _load(plugin: Plugin) -> _Loaded:
    where = f"--plugin {plugin.path}: "
    module = ModuleType(f"freewalk_plugin_{re.sub(r'[^0-9A-Za-z]', '_', plugin.path.stem)}_{plugin.sha256[:12]}")
    module.__file__ = str(plugin.path)
    sys.modules[module.__name__] = module  # where dataclasses and pydantic look for the names in annotations
    try:
        exec(compile(plugin.path.read_bytes(), str(plugin.path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        raise UsageError(f"{where}{_what(error, plugin.path)}; mend that line") from None
    found = tuple({id(one): one for value in vars(module).values() for one in _members(value)}.values())
    if not found:
        raise UsageError(
            f"{where}brings no task, method or network; assign a Task, an OwnMethod or an OwnNetwork to a name in it"
        )
    return _Loaded(plugin, *map(tuple, _register(found, where, plugin.path)))


def _members(value: Any) -> Iterator[Any]:
    """Yield the tasks, methods and networks of one's own that a value is or lists."""
    from freewalk.tasks.registry import BUILT_IN, TASKS
    from freewalk.tasks.task import Task

    for one in value if isinstance(value, list | tuple) else [value]:
        is_ours = isinstance(one, Task) and one.name in BUILT_IN and TASKS[one.name] is one
        if isinstance(one, Task | OwnMethod | OwnNetwork) and not is_ours:
            yield one


def _register(found: tuple[Any, ...], where: str, path: Path | None = None) -> _Brought:
    """Register tasks, methods and networks, all or none; return their names."""
    from freewalk.tasks import registry as task_registry
    from freewalk.tasks.task import Task

    brought = _Brought([], [], [])
    for one in found:
        what = "task" if isinstance(one, Task) else "network" if isinstance(one, OwnNetwork) else "method"
        try:
            if isinstance(one, Task):
                task_registry.register(one)
                brought.tasks.append(one.name)
                add_task_parameters(one.name, one.parameters, one.parameter_help)
                one.problem({}).data()  # what does not compile is better said here than in the midst of a sweep
            elif isinstance(one, OwnNetwork):
                add_network(one)
                brought.networks.append(one.name)
            else:
                add_method(one)
                brought.methods.append(one.name)
        except Exception as error:
            _forget(*brought)
            kind = "" if isinstance(error, ValueError) else f"{what} {one.name!r}: "
            raise UsageError(f"{where}{kind}{_what(error, path)}") from None
    return brought


def _lines_of_functions(path: Path, message: str) -> list[int]:
    """Return where functions that a message of Numba's names begin in a file."""
    names = _NUMBA_FUNCTION.findall(message)
    tree = ast.parse(path.read_bytes())
    return [node.lineno for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in names]


def _what(error: BaseException, path: Path | None = None) -> str:
    """Say what an error is on one line, with the line of the file where it can be told."""
    text = " ".join(str(error).split())
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {type(error).__name__}: {error.msg}"
    if type(error).__module__.startswith("numba"):
        from freewalk.kernels.machine.jit import told_by_numba  # loads Numba, which has come by then

        lines, reason = told_by_numba(error, path)  # type: ignore[arg-type]
        if not lines and path is not None:
            lines = _lines_of_functions(path, str(error))
        place = f"line {lines[0]}: " if lines else ""
        return f"{place}does not compile: {reason[:_LONGEST_REASON]}"
    frames = [] if path is None else [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    place = f"line {frames[-1].lineno}: " if frames else ""
    name = "" if type(error) is ValueError else f"{type(error).__name__}: "
    return f"{place}{name}{text or 'no message'}"
