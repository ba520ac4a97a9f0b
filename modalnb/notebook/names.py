"""Which names a piece of notebook code uses without defining them, and which it assigns."""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Iterable
from dataclasses import dataclass

_WORD = re.compile(r"[A-Za-z_]\w*")
_EXPANDED = re.compile(r"[{$]\s*([A-Za-z_]\w*)")
_SHELL_CALLS = frozenset({"system", "getoutput"})
_MAGIC_CALLS = frozenset({"run_line_magic", "run_cell_magic"})


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a piece of code: `used` may be read before they are assigned in it.

    `changed` are assigned by ``+=`` and the like, which may leave the same object behind the name.
    """

    used: frozenset[str]
    assigned: frozenset[str]
    changed: frozenset[str]
    #: Those of `assigned` that an ``import`` defines.
    imported: frozenset[str] = frozenset()


def analyse(tree: ast.Module) -> Names:
    """The names of the statements of a cell.

    >>> names = analyse(ast.parse("y = f(x); y += 1"))
    >>> sorted(names.used), sorted(names.assigned), sorted(names.changed)
    (['f', 'x'], ['y'], ['y'])
    """
    reader = _Reader()
    reader.read(tree.body)
    return Names(
        frozenset(reader.used),
        frozenset(reader.assigned | reader.declared),
        frozenset(reader.changed),
        frozenset(reader.imported),
    )


def mentioned(tree: ast.AST) -> set[str]:
    """Every name that the code mentions, in any scope and also in the text of its magics."""
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found |= {word for text in _magic_texts(node) for word in _WORD.findall(text)}
            found |= set(_expanded(node))
    return found


def _magic_texts(call: ast.Call) -> list[str]:
    """What stands behind ``%magic``, and below ``%%magic``, which IPython turns into calls."""
    return _texts(call)[1:] if _method(call) in _MAGIC_CALLS else []


def _expanded(call: ast.Call) -> list[str]:
    """The names that IPython fills into a ``!command {name}``."""
    return _EXPANDED.findall(" ".join(_texts(call))) if _method(call) in _SHELL_CALLS else []


def _method(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _texts(call: ast.Call) -> list[str]:
    values = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
    return [value for value in values if isinstance(value, str)]


class _Reader(ast.NodeVisitor):
    """Reads statements in the order in which they run, and notes what is certain to be defined."""

    def __init__(self) -> None:
        self.used: set[str] = set()
        self.assigned: set[str] = set()
        self.changed: set[str] = set()
        self.imported: set[str] = set()
        #: Assigned in functions that declare them ``global``.
        self.declared: set[str] = set()
        self._defined: set[str] = set()
        #: In the body of a class: what functions in it see, who do not see the names of the class.
        self._around: set[str] | None = None

    def read(self, nodes: Iterable[ast.AST | None]) -> None:
        """Read nodes one after the other."""
        for node in nodes:
            if node is not None:
                self.visit(node)

    # -- names -----------------------------------------------------------------------------

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self._define(node.id)
        else:
            self._use(node.id)

    def _use(self, name: str) -> None:
        if name not in self._defined:
            self.used.add(name)

    def _define(self, name: str) -> None:
        self._defined.add(name)
        self.assigned.add(name)

    def visit_Call(self, node: ast.Call) -> None:
        for text in _magic_texts(node):
            try:
                tree = ast.parse(text)
            except SyntaxError:
                for name in _WORD.findall(text):
                    self._use(name)
            else:
                # Such as the `x = f(y)` of `%time x = f(y)`.
                self.read(tree.body)
        for name in _expanded(node):
            self._use(name)
        self.generic_visit(node)

    # -- assignments: the value is read before its target is defined ---------------------------

    def visit_Assign(self, node: ast.Assign) -> None:
        self.read([node.value, *node.targets])

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.annotation)
        if node.value is not None or not isinstance(node.target, ast.Name):
            self.read([node.value, node.target])

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.read([node.value, node.target])

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._use(node.target.id)
            self.changed.add(node.target.id)
        self.read([node.value, node.target])

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._import(alias.asname or alias.name.partition(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self._import(alias.asname or alias.name)

    def _import(self, name: str) -> None:
        self._define(name)
        self.imported.add(name)

    # -- branches: certain is only what each of them defines -------------------------------------

    def _branches(self, *branches: Iterable[ast.AST | None]) -> None:
        before, after = self._defined, []
        for branch in branches:
            self._defined = set(before)
            self.read(branch)
            after.append(self._defined)
        self._defined = set.intersection(*after)

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        self._branches(node.body, node.orelse)

    def visit_While(self, node: ast.While) -> None:
        self.visit(node.test)
        self._branches(node.body, [])
        self._branches(node.orelse, [])

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self._branches([node.target, *node.body], [])
        self._branches(node.orelse, [])

    visit_AsyncFor = visit_For

    def visit_Try(self, node: ast.Try | ast.TryStar) -> None:
        before = set(self._defined)
        self._branches([*node.body, *node.orelse], *([handler] for handler in node.handlers))
        after, self._defined = self._defined, before
        self.read(node.finalbody)
        self._defined |= after

    visit_TryStar = visit_Try

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self.read([node.type])
        if node.name:
            self._defined.add(node.name)  # it is deleted at the end of the handler
        self.read(node.body)

    def visit_Match(self, node: ast.Match) -> None:
        self.visit(node.subject)
        self._branches(*([case.pattern, case.guard, *case.body] for case in node.cases), [])

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self.read([node.pattern])
        if node.name:
            self._define(node.name)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        if node.name:
            self._define(node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self.read([*node.keys, *node.patterns])
        if node.rest:
            self._define(node.rest)

    # -- scopes ----------------------------------------------------------------------------

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.read([*node.decorator_list, *_immediate(node.args), node.returns])
        self._define(node.name)
        self._function(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.read(_immediate(node.args))
        self._function(ast.Expr(node))

    def _function(self, node: ast.stmt) -> None:
        """Take a body as if it ran at once, since nothing says when it will."""
        for table in symtable.symtable(ast.unparse(node), "cell", "exec").get_children():
            read, written = _globals_of(table)
            self.used |= read - (self._defined if self._around is None else self._around)
            self.declared |= written

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.read([*node.decorator_list, *node.bases, *(k.value for k in node.keywords)])
        body = _Reader()
        body._defined, body._around = set(self._defined), set(self._defined)
        body.read(node.body)
        self.used |= body.used
        self.declared |= body.declared
        self._define(node.name)

    def _comprehension(self, node: ast.AST) -> None:
        before, assigned = self._defined, set(self.assigned)
        self._defined = set(before)
        generators: list[ast.comprehension] = getattr(node, "generators")  # noqa: B009
        for generator in generators:
            self.read([generator.iter, generator.target, *generator.ifs])
        inside = {n.id for g in generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
        self.read(getattr(node, field, None) for field in ("elt", "key", "value"))
        # Only what `:=` assigns leaves a comprehension.
        self._defined = before | (self._defined - inside)
        self.assigned = assigned | (self.assigned - inside)

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehension


def _immediate(arguments: ast.arguments) -> list[ast.AST | None]:
    """What is evaluated of a function's parameters when it is defined."""
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [extra for extra in (arguments.vararg, arguments.kwarg) if extra is not None]
    return [
        *arguments.defaults,
        *arguments.kw_defaults,
        *(argument.annotation for argument in every),
    ]


def _globals_of(table: symtable.SymbolTable) -> tuple[set[str], set[str]]:
    """Globals that a scope and those within read, and those that they assign by ``global``."""
    read, written = set(), set()
    for symbol in table.get_symbols():
        if symbol.is_global():
            if symbol.is_referenced():
                read.add(symbol.get_name())
            if symbol.is_assigned():
                written.add(symbol.get_name())
    for child in table.get_children():
        inner_read, inner_written = _globals_of(child)
        read |= inner_read
        written |= inner_written
    return read, written
