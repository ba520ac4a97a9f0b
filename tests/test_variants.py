"""Equal variants have one name, different ones never share it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from modalnb.settings import FunctionSettings
from modalnb.variants import MAX_NAME, PLAIN, Variant

values = st.one_of(st.text(max_size=60), st.integers(), st.binary(max_size=60), st.booleans())
parameters = st.dictionaries(st.sampled_from("abc"), values).map(lambda d: tuple(sorted(d.items())))
options = st.fixed_dictionaries(
    {},
    optional={
        "autoscaler": st.fixed_dictionaries(
            {}, optional={"max_containers": st.integers(1, 3), "buffer_containers": st.just(1)}
        ),
        "cpu": st.sampled_from([1, 1.0, 1.5, 2]),
        "retries": st.just({"max_retries": 3, "max_delay": 60.0}),
    },
).map(lambda d: {key: value for key, value in d.items() if value})
variants = st.builds(Variant, parameters=parameters, options=options)


def _same(one: Variant, two: Variant) -> bool:
    kinds = [[type(value) for _, value in variant.parameters] for variant in (one, two)]
    return one == two and kinds[0] == kinds[1]


@given(variants, variants)
def test_names_are_equal_exactly_for_equal_variants(one: Variant, two: Variant) -> None:
    assert (one.name_of("f") == two.name_of("f")) == _same(one, two)


@given(variants)
def test_names_are_short_and_begin_with_the_base(variant: Variant) -> None:
    name = variant.name_of("Model")
    assert name.startswith("Model")
    assert len(name) <= MAX_NAME
    assert (name == "Model") == variant.is_plain


def test_name_shows_parameters_and_options() -> None:
    variant = Variant(
        parameters=(("size", "large"), ("depth", 3)),
        options={"cpu": 2.0, "autoscaler": {"max_containers": 4}},
    )
    assert variant.name_of("Model") == "Model(size='large', depth=3)[max_containers=4, cpu=2]"


def test_more_options_are_added_and_later_ones_win() -> None:
    first = PLAIN.with_options({"autoscaler": {"max_containers": 4}, "cpu": 1.0})
    both = first.with_options({"autoscaler": {"buffer_containers": 1}, "cpu": 2.0})
    assert both.options == {
        "autoscaler": {"max_containers": 4, "buffer_containers": 1},
        "cpu": 2.0,
    }


def test_order_of_options_does_not_matter() -> None:
    def named(*steps: dict[str, Any]) -> str:
        variant = PLAIN
        for step in steps:
            variant = variant.with_options(step)
        return variant.name_of("f")

    cpu, bound = {"cpu": 2.0}, {"autoscaler": {"max_containers": 4}}
    assert named(cpu, bound) == named(bound, cpu)


def test_options_replace_fields_of_settings() -> None:
    settings = FunctionSettings(cpu=1.0, timeout=5.0)
    varied = settings.with_options({"autoscaler": {"max_containers": 4}, "timeout": 9.0})
    assert (varied.cpu, varied.timeout, varied.autoscaler.max_containers) == (1.0, 9.0, 4)
    assert varied.autoscaler.scaledown_window == settings.autoscaler.scaledown_window


def test_long_name_of_a_base_stays_whole() -> None:
    assert PLAIN.name_of("f" * 200) == "f" * 200
    assert len(Variant(options={"cpu": 1.0}).name_of("f" * 200)) <= MAX_NAME
