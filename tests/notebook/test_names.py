"""Which names a cell uses and assigns: by examples, and against what Python itself does."""

from __future__ import annotations

import ast
import builtins
import doctest
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from modalnb.notebook import names
from modalnb.notebook.names import analyse, mentioned


@pytest.mark.parametrize(
    ("code", "used", "assigned"),
    [
        ("y = f(x)", "f x", "y"),
        ("x = 1\ny = x", "", "x y"),
        ("x += 1", "x", "x"),
        ("x: int\ny: float = z", "float int z", "y"),
        ("x[0] = 1\na.b = c", "a c x", ""),
        ("del q", "q", ""),
        ("import a.b, c as d\nfrom e import f as g", "", "a d g"),
        ("for i in xs:\n    t = i\n    t", "xs", "i t"),
        ("for i in xs: pass\ni", "i xs", "i"),
        ("while n: n -= 1", "n", "n"),
        ("if c: x = 1\nelse: x = 2\nx", "c", "x"),
        ("if c: x = 1\nx", "c x", "x"),
        ("try:\n    import a\nexcept E as e:\n    a = e\na", "E", "a"),
        ("try:\n    x = 1\nfinally:\n    x", "x", "x"),
        ("try: x = 1\nfinally: pass\nx", "", "x"),
        ("with p as f:\n    d = f\nd", "p", "d f"),
        ("match v:\n    case [a, *r] if a: r\n    case {'k': z, **m}: z, m", "v", "a m r z"),
        ("[i * s for i in r if i]", "r s", ""),
        ("{k: v for k, v in r}, {i for i in r}, list(i for i in r)", "list r", ""),
        ("[y := i for i in r]\ny", "r", "y"),
        ("h = lambda q, d=e: q + outer", "e outer", "h"),
        ("@deco(a)\ndef f(x: t, *, k=d) -> r:\n    y = x + g\n    return y", "a d deco g r t", "f"),
        ("def f():\n    global z\n    z = 1", "", "f z"),
        ("def f(): return later\nlater = 1", "later", "f later"),
        ("def f(): return f()", "", "f"),
        ("async def f():\n    async for i in xs: await i", "xs", "f"),
        ("class A(B, metaclass=M):\n    x = y\n    def m(self): return x, C", "B C M x y", "A"),
        ("get_ipython().system('ls {d} $e x')", "d e get_ipython", ""),
        ("get_ipython().run_line_magic('time', 'x = f(y)')", "f get_ipython y", "x"),
        ("get_ipython().run_line_magic('cd', '../data dir')", "data dir get_ipython", ""),
    ],
)
def test_names_of_code(code: str, used: str, assigned: str) -> None:
    found = analyse(ast.parse(code))
    assert " ".join(sorted(found.used)) == used
    assert " ".join(sorted(found.assigned)) == assigned


def test_changed_are_those_of_augmented_assignment() -> None:
    assert analyse(ast.parse("x += 1\ny = 2\nz.a += 1")).changed == {"x"}


def test_mentioned_looks_everywhere() -> None:
    tree = ast.parse("def f(): return a\nget_ipython().run_cell_magic('time', '', 'b = c')")
    assert {"a", "b", "c"} <= mentioned(tree)


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(names).failed == 0


# -- against Python ----------------------------------------------------------------------------

NAMES = st.sampled_from("abcde")
ATOMS = st.one_of(NAMES, st.integers(0, 3).map(str))


def _expressions(depth: int) -> st.SearchStrategy[str]:
    if not depth:
        return ATOMS
    inner = _expressions(depth - 1)
    return st.one_of(
        ATOMS,
        st.builds("({} + {})".format, inner, inner),
        st.builds("sum([{} for {} in range(2)])".format, inner, NAMES),
        st.builds("(lambda {}: {})(1)".format, NAMES, inner),
        st.builds("({} := {})".format, NAMES, inner),
    )


def _indented(lines: list[str]) -> str:
    return "\n".join(f"    {line}" for text in lines for line in text.split("\n"))


def _statements(depth: int) -> st.SearchStrategy[str]:
    value = _expressions(2)
    simple = st.one_of(
        st.builds("{} = {}".format, NAMES, value),
        st.builds("{} += {}".format, NAMES, value),
        value,
    )
    if not depth:
        return simple
    body = st.lists(_statements(depth - 1), min_size=1, max_size=2).map(_indented)
    return st.one_of(
        simple,
        st.builds("if {}:\n{}\nelse:\n{}".format, value, body, body),
        st.builds("for {} in range({} % 3):\n{}".format, NAMES, value, body),
        st.builds("try:\n{}\nexcept NameError:\n{}".format, body, body),
        st.builds("def {}():\n{}\n    return {}".format, NAMES, body, value),
    )


PROGRAMS = st.lists(_statements(2), min_size=1, max_size=5).map("\n".join)


def _run(code: str, namespace: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """What a program raises, and the numbers that it leaves behind."""
    error: Any = None
    try:
        exec(compile(code, "cell", "exec"), namespace)
    except Exception as raised:
        error = type(raised)
    return error, {n: v for n, v in namespace.items() if isinstance(v, int)}


@settings(max_examples=300, deadline=None)
@given(PROGRAMS, st.dictionaries(NAMES, st.integers(0, 3)))
def test_captured_names_are_all_that_a_program_needs(code: str, notebook: dict[str, int]) -> None:
    """With the used names alone it does what it does with all, and only assigned names differ."""
    error, after = _run(code, dict(notebook))
    assume(error is not SyntaxError)
    found = analyse(ast.parse(code))
    captured = {name: value for name, value in notebook.items() if name in found.used}
    error_there, there = _run(code, dict(captured))
    assert error_there == error
    changed = {name for name, value in after.items() if notebook.get(name) is not value}
    assert changed <= found.assigned | {"__builtins__"}
    assert {n: there.get(n) for n in changed} == {n: after[n] for n in changed}
    assert not found.used & set(vars(builtins)) - {"sum", "range", "NameError"}
