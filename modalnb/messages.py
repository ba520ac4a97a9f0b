"""The messages between callers, plane, containers and operator: names, version and plain forms.

Every message is a dict with ``op``; inputs and outputs travel many in one message, as tuples.

========================  ====================  ==================================================
op                        from → to             fields
========================  ====================  ==================================================
``modalnb-define``        caller → plane        app, function, settings, interface, code, blob
``modalnb-put``           caller → plane        call_id, pool_id, code, start, payloads, flags
``modalnb-close``         caller → plane        call_id
``modalnb-cancel``        caller → plane        call_id
``modalnb-taken``         caller → plane        call_id, index, taken
``modalnb-watch``         caller → plane        call_id, start, stop, by
``modalnb-unwatch``       caller → plane        call_id, by
``modalnb-ask``           caller → plane        ask_id, verb, arguments
``modalnb-reply``         plane → caller        kind, fields of the kind
``modalnb-configure``     plane → container     max_inputs, timeout
``modalnb-equip``         plane → container     env, cores, memory_limit
``modalnb-look``          plane → container
``modalnb-prepare``       plane → container     code, init
``modalnb-run``           plane → container     inputs
``modalnb-batch``         plane → container     inputs
``modalnb-taken``         plane → container     lease, taken
``modalnb-code``          plane → container     code, blob
``modalnb-recall``        plane → container     leases
``modalnb-stop``          plane → container     leases
``modalnb-hello``         container → plane     container_id, pid, host, devices, device_error
``modalnb-prepared``      container → plane     failure, story
``modalnb-outputs``       container → plane     outputs
``modalnb-yields``        container → plane     items
``modalnb-overdue``       container → plane     leases
``modalnb-in-time``       container → plane     seconds
``modalnb-stuck``         container → plane
``modalnb-slots``         container → plane     slots
``modalnb-leave``         container → plane
``modalnb-returned``      container → plane     leases
``modalnb-printed``       container → plane     lines
``modalnb-usage``         container → plane     cpu, memory
``modalnb-devices``       container → plane     host, devices, error
``modalnb-fate``          container → plane     story, over_limit
``modalnb-operate``       plane → operator      wake, retire, kill, look
========================  ====================  ==================================================
"""

from __future__ import annotations

from typing import Any

from modalnb import exception

#: Grows when two versions of modalnb could misunderstand each other.
PROTOCOL = 2

DEFINE = "modalnb-define"
PUT = "modalnb-put"
CLOSE = "modalnb-close"
CANCEL = "modalnb-cancel"
WATCH = "modalnb-watch"
UNWATCH = "modalnb-unwatch"
ASK = "modalnb-ask"
TAKEN = "modalnb-taken"
REPLY = "modalnb-reply"
CONFIGURE = "modalnb-configure"
EQUIP = "modalnb-equip"
LOOK = "modalnb-look"
PREPARE = "modalnb-prepare"
RUN = "modalnb-run"
BATCH = "modalnb-batch"
CODE = "modalnb-code"
RECALL = "modalnb-recall"
STOP = "modalnb-stop"
HELLO = "modalnb-hello"
PREPARED = "modalnb-prepared"
OUTPUTS = "modalnb-outputs"
YIELDS = "modalnb-yields"
OVERDUE = "modalnb-overdue"
IN_TIME = "modalnb-in-time"
STUCK = "modalnb-stuck"
SLOTS = "modalnb-slots"
LEAVE = "modalnb-leave"
RETURNED = "modalnb-returned"
PRINTED = "modalnb-printed"
USAGE = "modalnb-usage"
DEVICES = "modalnb-devices"
FATE = "modalnb-fate"
OPERATE = "modalnb-operate"

#: The one rpc of the plane: ``verb`` and its arguments in, an answer or an error out.  Callers
#: use it to greet only, since it may overtake what they have sent on their stream before.
RPC = "modalnb"

#: The stream of printed lines that carries rich output, each message as JSON text.
DISPLAY = "display"

#: Inputs or outputs in one message at most, so that no message holds up the others.
MAX_BATCH = 512

_ERRORS: dict[str, type[exception.Error]] = {
    kind.__name__: kind
    for kind in (
        exception.InvalidError,
        exception.NotFoundError,
        exception.ExecutionError,
        exception.ResourceUnavailableError,
        exception.VersionError,
        exception.OutputExpiredError,
    )
}


def error_facts(error: exception.Error) -> dict[str, Any]:
    """An error in the form in which it travels."""
    name = type(error).__name__
    if name not in _ERRORS:
        raise AssertionError(f"{name} is not meant to travel as a message")
    return {"error": name, "text": str(error)}


def raise_error(facts: dict[str, Any]) -> None:
    """Raise the error that :func:`error_facts` described, if the answer is one."""
    if isinstance(facts, dict) and "error" in facts:
        raise _ERRORS[facts["error"]](facts["text"])


def names_of_pool(pool_id: str) -> tuple[str, str]:
    """The app id and the function name of a pool id."""
    app_id, _, function = pool_id.partition("/")
    return app_id, function


def pool_id_of(app_id: str, function: str) -> str:
    """The id of the pool of a function."""
    return f"{app_id}/{function}"


def code_of_method(code: str | None, method: str) -> str:
    """What an input of a method runs; without code, that of its pool."""
    return f"{code or ''}#{method}"


def whole_code(code: str) -> str:
    """The code that a reference to it, or to a method of it, is about."""
    return code.partition("#")[0]


def with_code(reference: str, code: str) -> str:
    """A reference to the same method, or to the whole, of other code."""
    return code + reference[len(whole_code(reference)) :]


def resolve_code(code: str | None, current: str) -> str:
    """A reference to code; one that names none is about the current one."""
    if code is None:
        return current
    return current + code if code.startswith("#") else code
