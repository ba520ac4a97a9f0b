"""Classes with web methods: one instance for all of them, parameters in the query."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

import modalnb
from modalnb import exception
from tests.web.conftest import Url


@pytest.fixture
def shop(site: modalnb.App) -> Any:
    return site._declared["Shop"]


def test_methods_share_the_instance_of_a_container(client: httpx.Client, shop: Any) -> None:
    base = shop().web.get_web_url()
    assert base is not None
    assert "/site/Shop.web" in base
    sell = shop().sell.get_web_url()
    assert client.post(sell, params={"item": "pear"}).json() == "pear from corner"
    stock = client.get(httpx.URL(base).copy_with(path="/site/Shop.web/stock"))
    assert stock.json()["log"] == ["opened", "pear"]
    assert shop().sold.remote() == ["opened", "pear"]


def test_parameters_are_in_the_query(client: httpx.Client, shop: Any) -> None:
    url = shop(name="big & small", shelves=7).web.get_web_url()
    answer = client.get(httpx.URL(url).copy_with(path="/site/Shop.web/stock"))
    assert answer.json() == {"shop": "big & small", "shelves": 7, "log": ["opened"]}


@pytest.mark.parametrize("query", ["shelves=many", "shelves=", "shelves=1.5"])
def test_query_that_does_not_fit_is_a_422(
    client: httpx.Client, site: modalnb.App, url: Url, query: str
) -> None:
    base = httpx.URL(url("api"))
    answer = client.get(base.copy_with(path="/site/Shop.web/stock", query=query.encode()))
    assert answer.status_code == 422
    assert "shelves" in answer.json()["detail"]


def test_web_method_is_not_called(shop: Any) -> None:
    with pytest.raises(exception.InvalidError, match="by HTTP"):
        shop().sell.remote("x")


def test_web_method_runs_locally(shop: Any) -> None:
    local = shop(name="here")
    assert local.sell.local("plum") == "plum from here"


def test_class_that_is_no_web_function_has_no_url(shop: Any) -> None:
    assert shop().sold.get_web_url() is None
