"""Specifications of further workers of a SpecCluster, on the hosts that they have to be on."""

from __future__ import annotations

from typing import Any

from distributed import Worker

from modalnb.exception import ConnectionError

Spec = dict[str, Any]


class Template:
    """Makes workers like those that the cluster has; learns on which host each kind comes up.

    Raises
    ------
    ConnectionError
        If the cluster has nothing that more workers could be modelled on.
    """

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self._models = _models_of(cluster)
        #: The model of each worker that was made, and the hosts of models as far as they are known.
        self._placed: dict[str, int] = {}
        self._hosts: dict[int, str] = {}

    def make(self, name: str, host: str | None) -> Spec:
        """A worker of this name, by the model that has the fewest, on this host if one is named."""
        for gone in self._placed.keys() - self._cluster.worker_spec.keys():
            del self._placed[gone]
        placed = list(self._placed.values())
        models = self._able(host)
        self._placed[name] = min(models, key=lambda number: (placed.count(number), number))
        return _named(self._models[self._placed[name]], name)

    def _able(self, host: str | None) -> list[int]:
        """The models that come up on a host; those of which nobody knows, if none is known to."""
        every = list(range(len(self._models)))
        if host is None:
            return every
        return (
            [number for number in every if self._hosts.get(number) == host]
            or [number for number in every if number not in self._hosts]
            or every
        )

    def greeted(self, name: str, host: str) -> None:
        """A worker has come up on this host."""
        if name in self._placed:
            self._hosts[self._placed[name]] = host


def _models_of(cluster: Any) -> list[Spec]:
    models = [cluster.new_spec] if cluster.new_spec else list(cluster.worker_spec.values())
    kind = type(cluster).__name__
    if not models:
        raise ConnectionError(
            f"{kind} has no worker that containers could be modelled on. "
            "Create it with at least one worker or one host."
        )
    if any(isinstance(m["cls"], type) and issubclass(m["cls"], Worker) for m in models):
        raise ConnectionError(
            f"The workers of this {kind} are threads of this process, where containers must be "
            "processes. Create it with `processes=True`."
        )
    return models


def _named(model: Spec, name: str) -> Spec:
    """A worker like `model`, one process and one thread, under this name."""
    options = dict(model.get("options", {}))
    if "kwargs" in options:
        # SSHCluster: without a name of its own the remote worker is named by its address.
        kwargs = {key: value for key, value in options["kwargs"].items() if key != "n_workers"}
        options["kwargs"] = {**kwargs, "name": name, "nthreads": 1}
        options["worker_class"] = "distributed.Worker"
    else:
        options["name"] = name
    if hasattr(model["cls"], "job_script"):
        # A job queue: one container is one job, without a nanny that would start it again.
        options |= {"processes": 1, "nanny": False}
    if "nthreads" in options:
        options["nthreads"] = 1
    return {"cls": model["cls"], "options": options}
