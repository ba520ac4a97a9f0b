"""A hyper-parameter sweep on scikit-learn's digits, in a pool that grows from zero and back.

Run it with ``python -m modalnb.examples.digits`` or ``modalnb run -m modalnb.examples.digits``;
it needs ``pip install modalnb[demo]``.  It cross-validates a support vector machine with random
settings, first in containers, then in a plain loop, and compares the wall times.
"""

from __future__ import annotations

import argparse
import os
import random
import threading
import time
from collections import Counter

from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

import modalnb as modal
from modalnb.examples.picture import draw

app = modal.App("digits")

Settings = dict[str, float]

POLL_SECONDS = 0.05


@app.function(cpu=1, scaledown_window=2)
def evaluate(settings: Settings) -> float:
    """Accuracy of a support vector machine with these settings, by 5-fold cross-validation."""
    images, labels = load_digits(return_X_y=True)
    scores = cross_val_score(SVC(**settings), images / 16, labels, cv=5)
    return float(scores.mean())


@app.local_entrypoint()
def main(settings: int = 60, picture: str = "") -> None:
    """Search for the best settings of a support vector machine that reads digits."""
    sweep = random_settings(settings)
    machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start"
    print(f"{settings} settings of an SVC, 5-fold cross-validation of 1,797 digits; {machine}")
    with PoolWatch() as pool:
        started = time.perf_counter()
        scores = list(evaluate.map(sweep, progress=False))
        map_seconds = time.perf_counter() - started
        pool.wait_empty()
    if picture:
        draw(pool.history, picture, f"{settings} settings tried in {map_seconds:.1f} s")

    # The same here, where all is imported by now, with the cores free of containers.
    started = time.perf_counter()
    with threadpool_limits(1):
        plain_scores = [evaluate.local(chosen) for chosen in sweep]
    loop_seconds = time.perf_counter() - started

    accuracy, best = max(zip(scores, sweep, strict=True), key=lambda found: found[0])
    print(f"best       C={best['C']:.4g}, gamma={best['gamma']:.4g}: accuracy {accuracy:.4f}")
    print(f"map        {map_seconds:.2f} s, from zero to {pool.most} containers")
    print(f"plain loop {loop_seconds:.2f} s, {same_or_not(scores, plain_scores)}")
    print(f"speed-up   {loop_seconds / map_seconds:.2f}")


def random_settings(count: int) -> list[Settings]:
    """Settings drawn evenly on logarithmic scales; the same ones in every run."""
    if count < 1:
        raise modal.exception.InvalidError(f"`settings` must be at least 1; got {count}.")
    draw = random.Random(0)
    return [
        {"C": 10 ** draw.uniform(-1, 3), "gamma": 10 ** draw.uniform(-3, 0)} for _ in range(count)
    ]


def same_or_not(scores: list[float], plain_scores: list[float]) -> str:
    """Say whether both ways gave the same numbers."""
    return "same scores" if scores == plain_scores else "DIFFERENT scores"


class PoolWatch:
    """Prints the containers of the pool whenever one of them comes, changes its state or goes."""

    def __init__(self) -> None:
        self.most = 0
        self._shown = ""
        #: Seconds since the start, and the containers by state from then on.
        self.history: list[tuple[float, Counter[str]]] = []
        self._started = time.perf_counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PoolWatch:
        self._show()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def wait_empty(self) -> None:
        """Return when the pool is at zero again."""
        self.__exit__()
        while self._show():
            time.sleep(POLL_SECONDS)

    def _watch(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            self._show()

    def _show(self) -> int:
        """Print what is new; returns the number of containers."""
        containers = evaluate.snapshot().containers
        states: Counter[str] = Counter(container.state for container in containers)
        words = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"
        self.most = max(self.most, len(containers))
        if words != self._shown:
            self._shown = words
            seconds = time.perf_counter() - self._started
            self.history.append((seconds, states))
            print(f"{seconds:6.1f} s  containers: {words}", flush=True)
        return len(containers)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--settings", type=int, default=60, help="how many to try [default: 60]")
    options.add_argument("--picture", default="", help="draw the pool over time into this SVG file")
    chosen = options.parse_args()
    with app.run():
        main(chosen.settings, chosen.picture)
