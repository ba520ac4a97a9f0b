"""What an app declares: its decorators, and what they have made."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast, dataclass_transform

from modalnb.api import declaring, web
from modalnb.api.bases import Declared
from modalnb.api.cls import Cls, declare_class
from modalnb.api.decorators import marked_fields
from modalnb.api.entrypoint import LocalEntrypoint
from modalnb.api.function import Function
from modalnb.api.members import refuse_member
from modalnb.api.parameters import parameter
from modalnb.api.schedules import Schedule
from modalnb.exception import InvalidError
from modalnb.interface import Interface, MethodFacts
from modalnb.settings import DEFAULT_TIMEOUT, Retries, check_timeout

if TYPE_CHECKING:
    from modalnb.api.app import App


class Declarations:
    """The part of an app that decorators fill."""

    def __init__(self) -> None:
        #: Functions and classes by name.
        self._declared: dict[str, Function | Cls] = {}
        self._entrypoints: dict[str, LocalEntrypoint] = {}

    @property
    def registered_functions(self) -> dict[str, Function]:
        """The functions by name."""
        return {name: f for name, f in self._declared.items() if isinstance(f, Function)}

    @property
    def registered_classes(self) -> dict[str, Cls]:
        """The classes by name."""
        return {name: c for name, c in self._declared.items() if isinstance(c, Cls)}

    @property
    def registered_entrypoints(self) -> dict[str, LocalEntrypoint]:
        """The local entrypoints by name."""
        return dict(self._entrypoints)

    @property
    def _app(self) -> App:
        return cast("App", self)

    # -- decorators ------------------------------------------------------------------------

    def function(
        self,
        *misused: Any,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: float | None = None,
        gpu: str | list[str] | None = None,
        cpu: float | tuple[float, float] | None = None,
        memory: int | tuple[int, int] | None = None,
        retries: int | Retries | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        startup_timeout: float | None = None,
        single_use_containers: bool = False,
        schedule: Schedule | None = None,
        name: str | None = None,
        is_generator: bool | None = None,
        **others: Any,
    ) -> Callable[[Callable[..., Any]], Function]:
        """Register a function, to run in a pool of containers of its own.

        Parameters
        ----------
        min_containers : int, default 0
            Containers that are kept warm even without inputs.
        max_containers : int, optional
            The most containers; None is as many as the cluster hosts.
        buffer_containers : int, default 0
            Containers beyond the present need, while the function has inputs.
        scaledown_window : float, default 60
            Seconds for which a container may be idle before it leaves.
        gpu : str or list of str, optional
            Devices that each container has for itself: ``"L40S"``, ``"H100:2"``, ``"any"``, or a
            list, of which the first that can be had is taken. Without it containers see none.
        cpu : float or (float, float), optional
            Cores that a container is taken to use, measured if not given; of a pair, the second
            is the most that it may use.
        memory : int or (int, int), optional
            MiB that a container is taken to need; of a pair, the second is its limit: a container
            that uses more is ended, and the error of its input says so.
        retries : int or Retries, optional
            How often an input that failed or ran too long runs again; a number means a second
            between attempts. Lost containers do not count.
        timeout : float, default 300
            Seconds that an input may execute, each attempt anew.
        startup_timeout : float, optional
            Seconds until a container must be ready; as long as `timeout` if not given, and at
            least 10.
        single_use_containers : bool, default False
            Whether each input gets a container of its own, which ends with it.
        schedule : Cron or Period, optional
            Checked, but nothing fires yet.
        name : str, optional
            The name in the app; the name of the function by default.

        Other parameters of Modal are accepted; those without effect here are named in a warning.

        Raises
        ------
        InvalidError
            If a value is wrong, or the decorator is used without parentheses or on a method.
        TypeError
            If a parameter is unknown, or the decorator is used on a class.

        Examples
        --------
        >>> import modalnb as modal
        >>> app = modal.App()
        >>> @app.function(min_containers=1, scaledown_window=300)
        ... def handle(x):
        ...     return x
        """
        declaration = declaring.declare(
            "function",
            misused,
            {
                "min_containers": min_containers,
                "max_containers": max_containers,
                "buffer_containers": buffer_containers,
                "scaledown_window": scaledown_window,
                "gpu": gpu,
                "cpu": cpu,
                "memory": memory,
                "retries": retries,
                "timeout": check_timeout("timeout", timeout),
                "startup_timeout": startup_timeout,
                "single_use_containers": single_use_containers,
                "schedule": schedule,
                **others,
            },
        )

        def register(raw: Callable[..., Any]) -> Function:
            declaring.check_function(raw, schedule)
            refuse_member(raw)
            declaring.check_name(name if name is not None else raw.__name__)
            generates = declaring.is_generator(raw, is_generator)
            web_settings = web.web_facts(raw, retries)
            if generates:
                declaring.check_generator(raw, retries)
            base = Declared(
                name or raw.__name__,
                app=self._app,
                raw=raw,
                settings=declaration.settings.with_options(marked_fields(raw)),
                interface=Interface(
                    module=raw.__module__,
                    methods=(MethodFacts(is_generator=generates, web=web_settings),),
                ),
                carrier=web.carrier_of(raw, web_settings),
            )
            function = Function(base)
            self._add(function, "Function")
            return function

        return register

    @dataclass_transform(field_specifiers=(parameter,), kw_only_default=True)
    def cls(
        self,
        *misused: Any,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: float | None = None,
        gpu: str | list[str] | None = None,
        cpu: float | tuple[float, float] | None = None,
        memory: int | tuple[int, int] | None = None,
        retries: int | Retries | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        startup_timeout: float | None = None,
        single_use_containers: bool = False,
        enable_memory_snapshot: bool = False,
        **others: Any,
    ) -> Callable[[type], Cls]:
        """Register a class, whose instances have pools of containers.

        The methods of an instance share one pool. Each set of parameter values has a pool of its
        own, to which ``min_containers`` and all other settings apply.

        Parameters
        ----------
        min_containers, max_containers, buffer_containers, scaledown_window : optional
            As for :meth:`function`, for each pool.
        gpu, cpu, memory : optional
            As for :meth:`function`, for each container.
        retries, timeout, single_use_containers : optional
            As for :meth:`function`, for each method.
        startup_timeout : float, optional
            Seconds until a container must be ready, with its ``@modal.enter`` hooks; as long as
            `timeout` if not given, and at least 10.
        enable_memory_snapshot : bool, default False
            Allows ``@modal.enter(snap=True)``; there are no snapshots here.

        Other parameters of Modal are accepted; those without effect here are named in a warning.

        Raises
        ------
        InvalidError
            If a value is wrong, the decorator is used without parentheses, or the class cannot
            run in containers.
        TypeError
            If a parameter is unknown, or the decorator is not on a class.

        Examples
        --------
        >>> import modalnb as modal
        >>> app = modal.App()
        >>> @app.cls(max_containers=2)
        ... class Model:
        ...     size: str = modal.parameter(default="small")
        ...     @modal.enter()
        ...     def load(self):
        ...         self.weights = len(self.size)
        ...     @modal.method()
        ...     def predict(self, x):
        ...         return self.weights * x
        >>> Model(size="large").predict.local(2)
        10
        """
        declaration = declaring.declare(
            "cls",
            misused,
            {
                "min_containers": min_containers,
                "max_containers": max_containers,
                "buffer_containers": buffer_containers,
                "scaledown_window": scaledown_window,
                "gpu": gpu,
                "cpu": cpu,
                "memory": memory,
                "retries": retries,
                "timeout": check_timeout("timeout", timeout),
                "startup_timeout": startup_timeout,
                "single_use_containers": single_use_containers,
                "enable_memory_snapshot": enable_memory_snapshot,
                **others,
            },
        )

        def register(kind: type) -> Cls:
            handle = declare_class(self._app, kind, declaration)
            self._add(handle, "Class")
            return handle

        return register

    def _add(self, handle: Function | Cls, kind: str) -> None:
        name = handle._base.name
        if name in self._declared and not declaring.is_interactive():
            warnings.warn(
                f"{kind} '{name}' is defined twice in the app; the later one counts.",
                stacklevel=4,
            )
        self._declared[name] = handle

    def _bases(self) -> list[Declared]:
        """What the app declares, for the plane."""
        bases = [handle._base for handle in list(self._declared.values())]
        return [base for base in bases if isinstance(base, Declared)]

    def local_entrypoint(
        self, *misused: Any, name: str | None = None
    ) -> Callable[[Callable[..., Any]], LocalEntrypoint]:
        """Make a function the one that ``modalnb run file.py`` runs here, with the app running.

        Its parameters become options of the command line.

        Examples
        --------
        >>> import modalnb as modal
        >>> app = modal.App()
        >>> @app.local_entrypoint()
        ... def main(count: int = 3):
        ...     print(count)
        >>> main()
        3
        """
        if misused:
            raise InvalidError("Write `@app.local_entrypoint()` with parentheses.")

        def register(raw: Callable[..., Any]) -> LocalEntrypoint:
            label = name or raw.__name__
            if label in self._entrypoints and not declaring.is_interactive():
                raise InvalidError(f"There is a local entrypoint '{label}' already. Rename one.")
            entrypoint = LocalEntrypoint(raw, label, self._app)
            self._entrypoints[label] = entrypoint
            return entrypoint

        return register

    def include(self, other: App) -> App:
        """Take in the functions and classes of another app; returns this one.

        Raises
        ------
        InvalidError
            If both have one of one name.
        """
        for name, handle in other._declared.items():
            known = self._declared.get(name)
            if known is not None and known._base.raw is not handle._base.raw:
                kind = "class" if isinstance(handle, Cls) else "function"
                raise InvalidError(f"Both apps have a {kind} '{name}'. Rename one.")
        for base in other._bases():
            if base.name not in self._declared:
                self._declared[base.name] = other._declared[base.name]._in(base.of(self._app))
        return self._app
