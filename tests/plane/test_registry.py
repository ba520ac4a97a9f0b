"""Apps, functions, overrides and code as the plane keeps them."""

from __future__ import annotations

import pytest

from modalnb.exception import InvalidError, NotFoundError
from modalnb.plane.registry import Registry
from modalnb.settings import AutoscalerSettings, FunctionSettings


def _settings(**autoscaler: int) -> FunctionSettings:
    return FunctionSettings(autoscaler=AutoscalerSettings(**autoscaler))


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    app = registry.open_app("ap-1", "my-app", "c:me")
    registry.add_code("code-1", b"one")
    registry.define(app, "f", _settings(min_containers=1, max_containers=5), "code-1")
    return registry


def test_overrides_add_up_and_are_checked_together(registry: Registry) -> None:
    registry.override("ap-1/f", {"min_containers": 3})
    settings = registry.override("ap-1/f", {"buffer_containers": 2})
    assert (settings.min_containers, settings.buffer_containers) == (3, 2)
    with pytest.raises(InvalidError, match="function `f`"):
        registry.override("ap-1/f", {"max_containers": 2})
    record = registry.record("ap-1/f")
    assert record is not None
    assert record.effective.autoscaler.max_containers == 5


def test_redefinition_keeps_overrides_unless_the_declaration_changed(registry: Registry) -> None:
    registry.override("ap-1/f", {"min_containers": 3})
    app = registry.apps["ap-1"]
    (record,) = registry.define(app, "f", _settings(min_containers=1, max_containers=5), "code-2")
    assert record.effective.autoscaler.min_containers == 3
    (record,) = registry.define(app, "f", _settings(min_containers=2, max_containers=5), "code-2")
    assert record.effective.autoscaler.min_containers == 2


def test_deploy_clears_overrides_and_drops_what_is_gone(registry: Registry) -> None:
    app = registry.apps["ap-1"]
    registry.define(app, "g", _settings(), "code-1")
    registry.override("ap-1/f", {"min_containers": 3})
    deployed, dropped = registry.deploy("ap-1", "my-app", ["f"])
    assert dropped == ["ap-1/g"]
    assert deployed.functions["f"].effective.autoscaler.min_containers == 1


def test_next_version_takes_over_the_pools_of_the_one_before(registry: Registry) -> None:
    registry.deploy("ap-1", "my-app", ["f"])
    second = registry.open_app("ap-2", "my-app", "c:you")
    registry.define(second, "f", _settings(min_containers=4), "code-2")
    app, dropped = registry.deploy("ap-2", "my-app", ["f"])
    assert app.app_id == "ap-1"
    assert dropped == ["ap-2/f"]
    record = registry.record("ap-2/f")
    assert record is not None
    assert record.pool_id == "ap-1/f"
    assert record.effective.autoscaler.min_containers == 4


def test_lookup_prefers_the_deployed_app(registry: Registry) -> None:
    registry.deploy("ap-1", "my-app", ["f"])
    running = registry.open_app("ap-2", "my-app", "c:you")
    registry.define(running, "f", _settings(), "code-1")
    assert registry.lookup("my-app", "f").pool_id == "ap-1/f"


def test_lookup_of_nothing_says_what_there_is(registry: Registry) -> None:
    with pytest.raises(NotFoundError, match="Apps here: my-app"):
        registry.lookup("other", "f")
    with pytest.raises(NotFoundError, match="it has f"):
        registry.lookup("my-app", "g")


def test_code_is_kept_while_it_is_current_or_in_use(registry: Registry) -> None:
    registry.use_code("code-1")
    registry.add_code("code-2", b"two")
    registry.define(registry.apps["ap-1"], "f", _settings(), "code-2")
    assert registry.blob("code-1") == b"one"
    registry.release_code("code-1")
    assert registry.blob("code-1") is None
    assert registry.blob("code-2") == b"two"


def test_only_the_functions_that_a_version_has_are_retained(registry: Registry) -> None:
    registry.define(registry.apps["ap-1"], "g", _settings(), "code-1")
    registry.vary("ap-1/g", "g[timeout=1]", None, {"timeout": 1})
    assert registry.retain("ap-1", ["f"]) == ["ap-1/g", "ap-1/g[timeout=1]"]
    assert list(registry.apps["ap-1"].functions) == ["f"]
    assert registry.retain("ap-unknown", []) == []
