"""The pools of classes with parameters, whose values come as query parameters of a request."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qsl

from modalnb import messages as m
from modalnb.interface import Interface, ParameterFacts
from modalnb.payload import envelope
from modalnb.plane.stub import Stub
from modalnb.variants import Variant
from modalnb.web.replies import ProblemError
from modalnb.web.routes import Route

_BOOLS = {"1": True, "true": True, "0": False, "false": False}


async def pool_of(stub: Stub, route: Route, query: bytes) -> str:
    """The pool that a request is for, which the plane makes if need be.

    Raises
    ------
    ProblemError
        422, if a parameter is missing or of the wrong type.
    """
    if not route.parameters:
        return route.pool_id
    name = m.names_of_pool(route.pool_id)[1]
    variant = Variant(parameters=_values(name, route, query))
    pool = variant.name_of(name)
    if pool not in route.pools:
        answer = await asyncio.wrap_future(
            stub.ask(
                "variant",
                pool_id=route.pool_id,
                name=pool,
                init=envelope.pack(variant, None, "class parameters"),
                options={},
            )
        )
        route.pools[pool] = answer["pool_id"]
    return route.pools[pool]


def _values(name: str, route: Route, query: bytes) -> tuple[tuple[str, Any], ...]:
    given = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    interface = Interface(is_class=True, parameters=route.parameters)
    try:
        values = {f.name: _value(f, given[f.name]) for f in route.parameters if f.name in given}
        return interface.bind(name, values)
    except (TypeError, ValueError) as error:
        raise ProblemError(
            422, f"The query of `{route.name}` does not fit: {error}", function=route.name
        ) from None


def _value(facts: ParameterFacts, text: str) -> Any:
    if facts.kind == "bool":
        if text.lower() not in _BOOLS:
            raise ValueError(f"`{facts.name}` must be true or false; got {text!r}.")
        return _BOOLS[text.lower()]
    if facts.kind == "int":
        try:
            return int(text)
        except ValueError:
            raise ValueError(f"`{facts.name}` must be a whole number; got {text!r}.") from None
    return text.encode() if facts.kind == "bytes" else text
