"""Variants of what is registered follow their base wherever it goes."""

from __future__ import annotations

import pytest

from modalnb.exception import InvalidError, NotFoundError
from modalnb.interface import Interface, MethodFacts, ParameterFacts
from modalnb.plane.registry import FunctionRecord, Registry
from modalnb.settings import AutoscalerSettings, FunctionSettings

MODEL = Interface(
    is_class=True,
    methods=(MethodFacts(name="predict"),),
    parameters=(ParameterFacts(name="size", kind="str"),),
)


def _settings(**autoscaler: int) -> FunctionSettings:
    return FunctionSettings(autoscaler=AutoscalerSettings(**autoscaler))


def _define(registry: Registry, app_id: str, code: str, **autoscaler: int) -> list[FunctionRecord]:
    app = registry.open_app(app_id, "my-app", "c:me")
    registry.add_code(code, code.encode())
    return registry.define(app, "Model", _settings(**autoscaler), code, MODEL)


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    _define(registry, "ap-1", "code-1", max_containers=5)
    return registry


def _vary(registry: Registry, max_containers: int = 2, app_id: str = "ap-1") -> FunctionRecord:
    options = {"autoscaler": {"max_containers": max_containers}}
    return registry.vary(f"{app_id}/Model", "Model(size='s')", b"init", options)


def test_variant_has_its_own_pool_and_merged_settings(registry: Registry) -> None:
    variant = _vary(registry)
    assert variant.pool_id == "ap-1/Model(size='s')"
    assert variant.settings.autoscaler.max_containers == 2
    assert (variant.code, variant.init, variant.interface) == ("code-1", b"init", MODEL)
    assert _vary(registry) is variant


def test_only_variants_of_a_class_with_parameters_have_pools(registry: Registry) -> None:
    variant = _vary(registry)
    assert registry.apps["ap-1"].pools == [variant]


def test_overrides_of_a_variant_are_its_own(registry: Registry) -> None:
    variant = _vary(registry)
    registry.override(variant.pool_id, {"min_containers": 1})
    assert variant.effective.autoscaler.min_containers == 1
    base = registry.record("ap-1/Model")
    assert base is not None
    assert not base.override


def test_options_that_do_not_fit_are_refused_and_leave_no_trace(registry: Registry) -> None:
    _define(registry, "ap-1", "code-1", min_containers=3)
    with pytest.raises(InvalidError, match=r"`min_containers` \(3\) cannot be greater"):
        _vary(registry)
    assert not registry.apps["ap-1"].pools


def test_variant_of_nothing_is_not_found(registry: Registry) -> None:
    with pytest.raises(NotFoundError, match="'Other' is not registered"):
        registry.vary("ap-1/Other", "Other[cpu=1]", None, {})


def test_new_version_of_the_base_is_one_of_its_variants_too(registry: Registry) -> None:
    variant = _vary(registry)
    records = _define(registry, "ap-1", "code-2", buffer_containers=1)
    assert records[1:] == [variant]
    assert variant.code == "code-2"
    autoscaler = variant.settings.autoscaler
    assert (autoscaler.buffer_containers, autoscaler.max_containers) == (1, 2)
    assert registry.blob("code-1") is None


def test_new_version_that_a_variant_does_not_fit_leaves_its_settings(registry: Registry) -> None:
    variant = _vary(registry)
    _define(registry, "ap-1", "code-2", min_containers=3)
    assert variant.code == "code-2"
    assert variant.settings.autoscaler.min_containers == 0
    with pytest.raises(InvalidError):
        _vary(registry)


def test_deploy_takes_variants_along_and_drops_those_of_what_is_gone(registry: Registry) -> None:
    variant = _vary(registry)
    app = registry.apps["ap-1"]
    registry.define(app, "f", _settings(), "code-1")
    gone = registry.vary("ap-1/f", "f[cpu=2]", None, {"cpu": 2.0})
    deployed, dropped = registry.deploy("ap-1", "my-app", ["Model"])
    assert list(deployed.functions) == ["Model", variant.name]
    assert dropped == ["ap-1/f", gone.pool_id]


def test_variants_of_the_next_version_get_the_pools_of_the_one_before(registry: Registry) -> None:
    _vary(registry)
    registry.deploy("ap-1", "my-app", ["Model"])
    _define(registry, "ap-2", "code-2")
    late = _vary(registry, max_containers=4, app_id="ap-2")
    deployed, dropped = registry.deploy("ap-2", "my-app", ["Model"])
    assert dropped == ["ap-2/Model", late.pool_id]
    assert list(deployed.functions) == ["Model", "Model(size='s')"]
    record = registry.record(late.pool_id)
    assert record is not None
    assert (record.pool_id, record.code) == ("ap-1/Model(size='s')", "code-2")


def test_lookup_knows_classes_from_functions_and_lists_no_variants(registry: Registry) -> None:
    _vary(registry)
    assert registry.lookup("my-app", "Model", is_class=True).interface == MODEL
    with pytest.raises(NotFoundError, match=r"it is a class\. Use `Cls\.from_name`"):
        registry.lookup("my-app", "Model")
    with pytest.raises(NotFoundError, match="it has Model"):
        registry.lookup("my-app", "Model(size='s')", is_class=True)
    registry.define(registry.apps["ap-1"], "f", _settings(), "code-1")
    with pytest.raises(NotFoundError, match=r"it is a function\. Use `Function\.from_name`"):
        registry.lookup("my-app", "f", is_class=True)


def test_code_of_a_method_is_that_of_its_class(registry: Registry) -> None:
    registry.use_code("code-1#predict")
    _define(registry, "ap-1", "code-2")
    assert registry.blob("code-1#predict") == b"code-1"
    registry.release_code("code-1#predict")
    assert registry.blob("code-1") is None
