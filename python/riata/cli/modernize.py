"""`riata modernize`: today's asyncio in place of what Python took away, with everything else left as it stands.

What is certain from the text alone is changed; what depends on values that only a run knows is told of, by line.
"""

import difflib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import libcst as cst
from libcst import matchers as m
from libcst.codemod import CodemodContext
from libcst.codemod.visitors import RemoveImportsVisitor
from libcst.metadata import MetadataWrapper, PositionProvider, QualifiedNameProvider

_FUNCTIONS = [
    *("sleep", "gather", "wait", "wait_for", "shield", "as_completed"),
    *("open_connection", "open_unix_connection", "start_server", "start_unix_server"),
    *("create_subprocess_exec", "create_subprocess_shell"),
    *("subprocess.create_subprocess_exec", "subprocess.create_subprocess_shell"),
]
_CLASSES = ["Lock", "Event", "Condition", "Semaphore", "BoundedSemaphore", "Queue", "PriorityQueue", "LifoQueue"]
TAKES_NO_LOOP = frozenset(f"asyncio.{name}" for name in (*_FUNCTIONS, *_CLASSES))
"""What lost its `loop` argument in Python 3.10."""

RENAMED = {
    "asyncio.Task.all_tasks": "all_tasks",
    "asyncio.Task.current_task": "current_task",
    "asyncio.JoinableQueue": "Queue",
}
"""Names of asyncio that have another one by now."""

ADVICE = {
    "asyncio.get_child_watcher": "leave it out: every loop watches its own children",
    "asyncio.set_child_watcher": "leave it out: every loop watches its own children",
    "asyncio.SafeChildWatcher": "leave it out: every loop watches its own children",
    "asyncio.FastChildWatcher": "leave it out: every loop watches its own children",
    "asyncio.get_event_loop_policy": "policies end with Python 3.16: give asyncio.run a loop_factory",
    "asyncio.set_event_loop_policy": "policies end with Python 3.16: give asyncio.run a loop_factory",
    "asyncio.iscoroutinefunction": "use inspect.iscoroutinefunction",
    "asyncio.coroutine": "gone since Python 3.11: async def, or types.coroutine for a generator",
}
"""What is told of and left."""

COROUTINE = "asyncio.coroutine"
PROCESS_POOLS = frozenset({"concurrent.futures.ProcessPoolExecutor", "concurrent.futures.process.ProcessPoolExecutor"})
MAKES_TASKS = frozenset({"asyncio.create_task", "asyncio.ensure_future", "asyncio.Task"})


@dataclass(frozen=True, slots=True)
class Note:
    """Something that a person has to decide."""

    line: int
    text: str


class _Bodies(m.MatcherDecoratableTransformer):
    """Turns the `yield from` of one function into `await`, and leaves the functions within it alone."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0

    def visit_FunctionDef(self, node: cst.FunctionDef) -> bool:
        self.depth += 1
        return self.depth == 1

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.FunctionDef:
        self.depth -= 1
        return updated_node

    def visit_Lambda(self, node: cst.Lambda) -> bool:
        return False

    def leave_Yield(self, original_node: cst.Yield, updated_node: cst.Yield) -> cst.BaseExpression:
        if not isinstance(updated_node.value, cst.From):
            return updated_node
        awaited = updated_node.value.item
        simple = (cst.Name, cst.Attribute, cst.Call, cst.Subscript)
        if not isinstance(awaited, simple) and not awaited.lpar:
            awaited = awaited.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        return cst.Await(awaited, lpar=updated_node.lpar, rpar=updated_node.rpar)

    def leave_With(self, original_node: cst.With, updated_node: cst.With) -> cst.With:
        return _acquiring(updated_node)


def _acquiring(node: cst.With) -> cst.With:
    """`with await lock` as `async with lock`, where every item is one."""
    if node.asynchronous is not None or not all(isinstance(item.item, cst.Await) for item in node.items):
        return node
    items = []
    for item in node.items:
        assert isinstance(item.item, cst.Await)
        items.append(item.with_changes(item=item.item.expression))
    return node.with_changes(asynchronous=cst.Asynchronous(), items=items)


def _own_yields(node: cst.FunctionDef) -> Iterator[cst.Yield]:
    """The yields of a function, and not of those within it."""
    found: list[cst.Yield] = []

    class Finder(cst.CSTVisitor):
        def visit_FunctionDef(self, inner: cst.FunctionDef) -> bool:
            return inner is node

        def visit_Lambda(self, inner: cst.Lambda) -> bool:
            return False

        def visit_Yield(self, inner: cst.Yield) -> None:
            found.append(inner)

    node.visit(Finder())
    yield from found


class _Modernizer(m.MatcherDecoratableTransformer):
    """Changes one module, and collects notes."""

    METADATA_DEPENDENCIES = (QualifiedNameProvider, PositionProvider)

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[Note] = []
        self.functions: list[str] = []
        """Which functions the walk is in: async, coroutine (of a generator) or plain."""
        self._dropped: set[cst.CSTNode] = set()
        """Calls in arguments that are taken out."""

    def named(self, node: cst.CSTNode, names: frozenset[str] | set[str]) -> str | None:
        """The one of `names` that an expression stands for."""
        found = {one.name for one in self.get_metadata(QualifiedNameProvider, node, set())}
        return next(iter(sorted(found & names)), None)

    def note(self, node: cst.CSTNode, text: str) -> None:
        """Tell of a place, unless it goes."""
        if node not in self._dropped:
            self.notes.append(Note(self.get_metadata(PositionProvider, node).start.line, text))

    # --- coroutines of generators

    def _decorator(self, node: cst.FunctionDef) -> cst.Decorator | None:
        return next((one for one in node.decorators if self.named(one.decorator, {COROUTINE})), None)

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        if node.asynchronous is not None:
            self.functions.append("async")
        else:
            self.functions.append("coroutine" if self._decorator(node) else "plain")

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.FunctionDef:
        self.functions.pop()
        decorator = self._decorator(original_node)
        if decorator is None:
            return updated_node
        yields = list(_own_yields(original_node))
        bare = next((one for one in yields if not isinstance(one.value, cst.From)), None)
        if bare is not None and original_node.asynchronous is None:
            self.note(bare, "a bare yield of a coroutine: write await asyncio.sleep(0), and async def by hand")
            return updated_node
        if not yields and original_node.asynchronous is None and m.findall(original_node, m.Return(value=m.Call())):
            self.note(original_node, "returns what a call gives: await it, if it is a coroutine or a future")
        kept = [
            new
            for old, new in zip(original_node.decorators, updated_node.decorators, strict=True)
            if old is not decorator
        ]
        lines = updated_node.leading_lines
        if original_node.decorators[0] is decorator:
            lines = [*lines, *decorator.leading_lines, *updated_node.lines_after_decorators] if not kept else lines
        changed = updated_node.with_changes(
            decorators=kept,
            asynchronous=cst.Asynchronous(),
            leading_lines=lines,
            lines_after_decorators=() if not kept else updated_node.lines_after_decorators,
        )
        made = changed.visit(_Bodies())
        assert isinstance(made, cst.FunctionDef)
        return made

    def leave_With(self, original_node: cst.With, updated_node: cst.With) -> cst.With:
        return _acquiring(updated_node) if self.functions[-1:] == ["async"] else updated_node

    # --- calls

    def visit_Call(self, node: cst.Call) -> None:
        if self.named(node.func, TAKES_NO_LOOP):
            for arg in node.args:
                if _is_loop(arg):
                    self._dropped.update(m.findall(arg.value, m.Call()))

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        function = original_node.func
        if self.named(function, TAKES_NO_LOOP):
            updated_node = _without_loop(updated_node)
        if self.named(function, {"asyncio.wait"}):
            updated_node = self._wait(original_node, updated_node)
        if self.named(function, {"asyncio.get_event_loop"}):
            if self.functions and self.functions[-1] != "plain" and isinstance(updated_node.func, cst.Attribute):
                return updated_node.with_changes(func=updated_node.func.with_changes(attr=cst.Name("get_running_loop")))
            if self.functions or not self._assigned(original_node):
                text = "asyncio.get_event_loop() makes no loop since Python 3.14: get_running_loop(), or asyncio.run"
                self.note(original_node, text)
        name = self.named(function, set(ADVICE))
        if name is not None:
            self.note(original_node, f"{name}: {ADVICE[name]}")
        if isinstance(function, cst.Name) and self.named(function, set(RENAMED)):
            self.note(original_node, "asyncio.JoinableQueue: use asyncio.Queue")
        if m.matches(function, m.Attribute(attr=m.Name("set_default_executor"))) and original_node.args:
            given = original_node.args[0].value
            if isinstance(given, cst.Call) and self.named(given.func, PROCESS_POOLS):
                self.note(original_node, "the default executor has threads: give this one to loop.run_in_executor")
        return updated_node

    def leave_Attribute(self, original_node: cst.Attribute, updated_node: cst.Attribute) -> cst.BaseExpression:
        name = self.named(original_node, set(RENAMED))
        if name is None:
            return updated_node
        module = updated_node.value
        if name.startswith("asyncio.Task.") and isinstance(module, cst.Attribute):
            return updated_node.with_changes(value=module.value, attr=cst.Name(RENAMED[name]))
        if name.startswith("asyncio.Task."):
            self.note(original_node, f"{name}: use asyncio.{RENAMED[name]}")
            return updated_node
        return updated_node.with_changes(attr=cst.Name(RENAMED[name]))

    def _wait(self, original: cst.Call, call: cst.Call) -> cst.Call:
        """Tasks for the coroutines that a call of `asyncio.wait` shows."""
        if not call.args:
            return call
        if not isinstance(original.func, cst.Attribute):
            self.note(original, "asyncio.wait takes tasks: asyncio.create_task for each coroutine among these")
            return call
        given = call.args[0].value
        was = original.args[0].value
        module = original.func.value
        if isinstance(given, (cst.List, cst.Set, cst.Tuple)) and isinstance(was, (cst.List, cst.Set, cst.Tuple)):
            elements = [
                new.with_changes(value=self._task(module, old.value, new.value))
                for old, new in zip(was.elements, given.elements, strict=True)
            ]
            changed: cst.BaseExpression = given.with_changes(elements=elements)
        elif isinstance(given, (cst.ListComp, cst.SetComp, cst.GeneratorExp)) and isinstance(
            was, (cst.ListComp, cst.SetComp, cst.GeneratorExp)
        ):
            changed = given.with_changes(elt=self._task(module, was.elt, given.elt))
        elif isinstance(given, cst.BinaryOperation):  # lists put together: whatever is in them becomes a future
            one = cst.Name("each")
            made = cst.Call(cst.Attribute(module, cst.Name("ensure_future")), [cst.Arg(one)])
            changed = cst.ListComp(made, cst.CompFor(one, given))
        else:
            self.note(original, "asyncio.wait takes tasks: asyncio.create_task for each coroutine among these")
            return call
        return call.with_changes(args=[call.args[0].with_changes(value=changed), *call.args[1:]])

    def _task(self, module: cst.BaseExpression, was: cst.BaseExpression, one: cst.BaseExpression) -> cst.BaseExpression:
        if not isinstance(was, cst.Call):
            self.note(was, "asyncio.wait takes tasks: asyncio.create_task, if this is a coroutine")
            return one
        if self.named(was.func, MAKES_TASKS) or m.matches(was.func, m.Attribute(attr=m.Name("create_task"))):
            return one
        return cst.Call(cst.Attribute(module, cst.Name("create_task")), [cst.Arg(one)])

    # --- loops made at the top of a program

    def _assigned(self, call: cst.Call) -> bool:
        return any(call is one for one in self._top_loops)

    def visit_Module(self, node: cst.Module) -> None:
        self._top_loops: list[cst.BaseExpression] = []
        matcher = m.SimpleStatementLine(
            body=[m.Assign(targets=[m.AssignTarget(target=m.Name())], value=m.Call(func=m.Attribute()))]
        )
        for line in m.findall(node, matcher):
            assert isinstance(line, cst.SimpleStatementLine)
            (assign,) = line.body
            assert isinstance(assign, cst.Assign)
            self._top_loops.append(assign.value)

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.SimpleStatementLine | cst.FlattenSentinel[cst.SimpleStatementLine]:
        statement = original_node.body[0]
        if self.functions or not isinstance(statement, cst.Assign) or not isinstance(statement.value, cst.Call):
            return updated_node
        call, target = statement.value, statement.targets[0].target
        named = self.named(call.func, {"asyncio.get_event_loop"})
        if not named or not isinstance(target, cst.Name) or not isinstance(call.func, cst.Attribute):
            return updated_node
        made = call.with_changes(func=call.func.with_changes(attr=cst.Name("new_event_loop")))
        setting = cst.Call(call.func.with_changes(attr=cst.Name("set_event_loop")), [cst.Arg(target)])
        return cst.FlattenSentinel(
            [
                updated_node.with_changes(
                    body=[statement.with_changes(value=made)],
                    trailing_whitespace=updated_node.trailing_whitespace,
                ),
                cst.SimpleStatementLine([cst.Expr(setting)]),
            ]
        )


def _is_loop(arg: cst.Arg) -> bool:
    return arg.keyword is not None and arg.keyword.value == "loop"


def _without_loop(call: cst.Call) -> cst.Call:
    kept = [arg for arg in call.args if not _is_loop(arg)]
    if len(kept) == len(call.args):
        return call
    if kept and call.args[-1] not in kept:
        kept[-1] = kept[-1].with_changes(comma=call.args[-1].comma)
    return call.with_changes(args=kept)


def modernize_text(text: str) -> tuple[str, list[Note]]:
    """What a module becomes, and what is left to decide.

    Raises:
        cst.ParserSyntaxError: it is no Python.
    """
    modernizer = _Modernizer()
    changed = MetadataWrapper(cst.parse_module(text)).visit(modernizer)
    imported = m.findall(changed, m.ImportFrom(module=m.Name("asyncio")))
    names = [alias for node in imported for alias in _names(node) if alias.evaluated_name == "coroutine"]
    if names:  # none of Python's have it any more, so an import that nobody needs would fail
        context = CodemodContext()
        for alias in names:
            RemoveImportsVisitor.remove_unused_import(context, "asyncio", "coroutine", alias.evaluated_alias)
        changed = RemoveImportsVisitor(context).transform_module(changed)
    return changed.code, sorted(modernizer.notes, key=lambda note: note.line)


def _names(node: cst.CSTNode) -> Sequence[cst.ImportAlias]:
    return node.names if isinstance(node, cst.ImportFrom) and not isinstance(node.names, cst.ImportStar) else ()


def _now(line: int, before: list[str], after: list[str]) -> int:
    """Where a line of the text before the change is after it, or what stands for it."""
    for _, begin, end, first, last in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if begin < line <= end:
            return max(1, min(first + line - begin, last))
    return line


def modernize_files(paths: Sequence[str], write: bool) -> None:
    """Print what changes as a difference, or write it; notes go to stderr."""
    failed = False
    for path in paths:
        try:
            before = Path(path).read_bytes().decode("utf-8") if path != "-" else sys.stdin.read()
            after, notes = modernize_text(before)
        except cst.ParserSyntaxError as error:
            click.secho(f"{path}:{error.raw_line}: {error.message}", fg="red", err=True)
            failed = True
            continue
        except (OSError, UnicodeDecodeError) as error:
            click.secho(f"{path}: {error}", fg="red", err=True)
            failed = True
            continue
        lines = before.splitlines(True), after.splitlines(True)
        writes = write and path != "-"
        for note in notes:
            line = _now(note.line, *lines) if writes else note.line
            click.secho(f"{path}:{line}: {note.text}", fg="yellow", err=True)
        if writes:
            if after != before:
                Path(path).write_bytes(after.encode("utf-8"))
                click.echo(f"{path}: changed")
            continue
        for text in difflib.unified_diff(*lines, path, path):
            click.secho(text.rstrip("\n"), fg={"+": "green", "-": "red", "@": "cyan"}.get(text[0]))
    if failed:
        raise click.exceptions.Exit(1)
