"""What code in a container can ask of the container itself; Modal keeps it under this name."""

from __future__ import annotations

from typing import Any

from modalnb.exception import InvalidError
from modalnb.runtime import context
from modalnb.settings import check_int

__all__ = [
    "get_local_input_concurrency",
    "set_local_input_concurrency",
    "stop_fetching_inputs",
]


def get_local_input_concurrency() -> int:
    """How many inputs this container works on at once.

    Raises
    ------
    InvalidError
        If the code does not run in a container.

    Examples
    --------
    >>> get_local_input_concurrency()  # doctest: +SKIP
    10
    """
    return int(_container().slots)


def set_local_input_concurrency(concurrency: int) -> None:
    """Let this container work on so many inputs at once, from now on; others keep theirs.

    Inputs that run are not touched.

    Parameters
    ----------
    concurrency : int
        From 1 to the ``max_inputs`` of the function.

    Raises
    ------
    InvalidError
        If the number is out of range, or the code does not run in a container.

    Examples
    --------
    >>> set_local_input_concurrency(2)  # doctest: +SKIP
    """
    container = _container()
    check_int("concurrency", concurrency, 1)
    if concurrency > container.max_inputs:
        raise InvalidError(
            f"`concurrency` cannot be greater than the `max_inputs` of the function, "
            f"{container.max_inputs}; got {concurrency}. Raise it with `@modal.concurrent`."
        )
    container.set_slots(concurrency)


def stop_fetching_inputs() -> None:
    """Let this container take no more inputs; it ends when those that run have ended.

    Raises
    ------
    InvalidError
        If the code does not run in a container.

    Examples
    --------
    >>> stop_fetching_inputs()  # doctest: +SKIP
    """
    _container().leave()


def _container() -> Any:
    home = context.home()
    if home is None:
        raise InvalidError("This is for code in a container; call it inside of a function.")
    return home.container
