"""Devices: what a wish matches, and that no device is ever given to two containers."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from modalnb.core.devices import DeviceBook, fits, is_slice, kind_of, rank, wish_words
from modalnb.resources import gpu_wishes, split_wish
from modalnb.snapshot import DeviceStats

GIB = 2**30


def device(
    name: str, gib: float = 80, *, uuid: str = "", host: str = "box", index: int = 0
) -> DeviceStats:
    return DeviceStats(
        host=host,
        index=index,
        uuid=uuid or f"GPU-{host}-{index}",
        name=name,
        memory_total=int(gib * GIB),
    )


@pytest.mark.parametrize(
    ("name", "gib", "kind"),
    [
        ("NVIDIA L40S", 45, "L40S"),
        ("NVIDIA L4", 22.5, "L4"),
        ("Tesla T4", 14.8, "T4"),
        ("NVIDIA A10G", 22.5, "A10G"),
        ("NVIDIA H100 80GB HBM3", 79.6, "H100"),
        ("NVIDIA H200", 140, "H200"),
        ("NVIDIA A100-SXM4-40GB", 39.4, "A100-40GB"),
        ("NVIDIA A100 80GB PCIe", 79.2, "A100-80GB"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 95, "RTX-PRO-6000"),
        ("NVIDIA GeForce RTX 4090", 24, "RTX-4090"),
        ("NVIDIA", 1, "NVIDIA"),
        ("", 1, "GPU"),
    ],
)
def test_kind_is_what_one_can_ask_for(name: str, gib: float, kind: str) -> None:
    found = device(name, gib)
    assert kind_of(found) == kind
    assert rank(kind, found) == 0 or not name


SLICE = device("NVIDIA A100-SXM4-40GB MIG 1g.5gb", 4.75, uuid="MIG-1")


@pytest.mark.parametrize(
    ("kind", "found", "expected"),
    [
        ("ANY", device("NVIDIA B200"), 0),
        ("H100", device("NVIDIA H100 80GB HBM3"), 0),
        ("H100", device("NVIDIA H100 PCIe"), 0),
        ("H100", device("NVIDIA H200", 140), 1),
        ("H100!", device("NVIDIA H100 PCIe"), 0),
        ("H100!", device("NVIDIA H200", 140), None),
        ("H100", device("NVIDIA GH100X"), None),
        ("A10", device("NVIDIA A10G", 22), 1),
        ("A10G", device("NVIDIA A10", 22), 1),
        ("A10", device("NVIDIA A100-SXM4-40GB", 40), None),
        ("L4", device("NVIDIA L40S", 45), None),
        ("A100", device("NVIDIA A100-SXM4-40GB", 39.4), 0),
        ("A100", device("NVIDIA A100 80GB PCIe", 79.2), 0),
        ("A100-40GB", device("NVIDIA A100-SXM4-40GB", 39.4), 0),
        ("A100-40GB", device("NVIDIA A100 80GB PCIe", 79.2), None),
        ("A100-80GB", device("NVIDIA A100-SXM4-80GB", 79.2), 0),
        ("A100-80GB", device("NVIDIA A100-SXM4-40GB", 39.4), None),
        ("B200", device("NVIDIA B300", 270), None),
        ("B200+", device("NVIDIA B300", 270), 1),
        ("RTX-PRO-6000", device("NVIDIA RTX PRO 6000 Blackwell Server Edition", 95), 0),
        ("RTX4090", device("NVIDIA GeForce RTX 4090", 24), 0),
        ("RTX 4090", device("NVIDIA GeForce RTX 4090", 24), 0),
        ("A100", SLICE, None),
        ("1G.5GB", SLICE, None),
        ("MIG", SLICE, 0),
        ("MIG-1G.5GB", SLICE, 0),
        ("MIG-2G.10GB", SLICE, None),
        ("ANY", SLICE, 0),
    ],
)
def test_rank_says_how_well_a_device_fits(
    kind: str, found: DeviceStats, expected: int | None
) -> None:
    assert rank(kind, found) == expected


def test_slice_is_named_by_its_profile() -> None:
    assert kind_of(SLICE) == "MIG-1G.5GB"
    assert kind_of(device("odd name", uuid="MIG-2")) == "MIG"


def book(*devices: DeviceStats) -> DeviceBook:
    made = DeviceBook()
    for host in {d.host for d in devices}:
        made.tell(host, [d for d in devices if d.host == host])
    return made


def uuids(given: tuple[DeviceStats, ...] | None) -> list[str] | None:
    return None if given is None else [d.uuid for d in given]


H100, H200 = device("NVIDIA H100", index=0), device("NVIDIA H200", 140, index=1)
T4 = device("Tesla T4", 14.8, index=2)


def test_two_containers_get_different_devices_and_a_third_none() -> None:
    made = book(H100, H200)
    assert uuids(made.assign("a", ("H100",))) == ["GPU-box-0"]
    assert uuids(made.assign("b", ("H100",))) == ["GPU-box-1"]
    assert made.assign("c", ("H100",)) is None
    assert made.held("c") == ()
    assert made.exists(("H100:2",))
    assert made.holders(("H100",)) == {"a", "b"}
    assert made.holders(("H100!",)) == {"a"}
    assert made.release("a")
    assert not made.release("a")
    assert uuids(made.assign("c", ("H100",))) == ["GPU-box-0"]


def test_asking_again_changes_nothing() -> None:
    made = book(H100, H200)
    assert made.assign("a", ("H100",)) == made.assign("a", ("H100",)) == made.held("a")


def test_list_is_tried_in_order() -> None:
    made = book(T4, H100)
    wishes = ("H100", "A100", "T4")
    assert uuids(made.assign("a", wishes)) == ["GPU-box-0"]
    assert uuids(made.assign("b", wishes)) == ["GPU-box-2"]
    assert made.assign("c", wishes) is None


def test_any_takes_the_smallest_so_that_large_ones_stay_free() -> None:
    made = book(H200, H100, T4)
    assert uuids(made.assign("a", ("ANY",))) == ["GPU-box-2"]
    assert made.more(("ANY",)) == 2
    assert made.more(("ANY:2",)) == 1


def test_devices_of_one_container_are_on_one_host() -> None:
    hosts = [device("NVIDIA L40S", 45, host=host) for host in ("one", "two")]
    made = book(*hosts)
    assert not made.exists(("L40S:2",))
    assert made.assign("a", ("L40S:2",)) is None
    assert made.more(("L40S",)) == 2
    assert made.more(("L40S",), hosts=["two", "three"]) == 1


def test_fuller_host_is_taken_first_so_that_whole_hosts_stay_free() -> None:
    made = book(
        *(device("NVIDIA L40S", 45, host="big", index=n) for n in range(3)),
        device("NVIDIA L40S", 45, host="small"),
    )
    assert uuids(made.assign("a", ("L40S",))) == ["GPU-small-0"]
    assert uuids(made.assign("b", ("L40S",), host="small")) is None
    assert uuids(made.assign("b", ("L40S",), host="big")) == ["GPU-big-0"]
    assert uuids(made.assign("c", ("L40S",), only=("GPU-big-2",))) == ["GPU-big-2"]


def test_slices_are_devices_of_their_own_one_to_a_container() -> None:
    slices = [device("NVIDIA A100-SXM4-40GB MIG 1g.5gb", 4.75, uuid=f"MIG-{n}") for n in range(2)]
    made = book(*slices)
    assert all(is_slice(d) for d in made.devices())
    assert not made.exists(("MIG-1G.5GB:2",))
    assert made.more(("ANY",)) == 2
    assert uuids(made.assign("a", ("MIG-1G.5GB",))) == ["MIG-0"]


def test_lost_device_is_recognised_by_its_place_and_not_given_away() -> None:
    made = book(H100, H200)
    made.assign("a", ("H100!",))
    gone = DeviceStats(host="box", index=0, uuid="", name="", error="GPU is lost")
    made.tell("box", [gone, H200])
    assert [(d.uuid, d.container_id, d.error) for d in made.devices()] == [
        ("GPU-box-0", "a", "GPU is lost"),
        ("GPU-box-1", None, None),
    ]
    made.release("a")
    assert made.assign("b", ("H100!",)) is None
    assert made.words() == "1 × H100 on box (GPU is lost), 1 × H200 on box"


def test_device_that_was_never_seen_working_is_not_given_away() -> None:
    made = book(DeviceStats(host="box", index=0, uuid="", name="", error="GPU is lost"))
    assert made.assign("a", ("ANY",)) is None
    assert not made.exists(("ANY",))
    assert made.words() == "1 × GPU on box (GPU is lost)"


def test_words_count_devices_by_host_and_kind() -> None:
    made = book(H100, device("NVIDIA H100", index=1), T4, device("Tesla T4", host="other"))
    assert made.words() == "2 × H100 on box, 1 × T4 on box, 1 × T4 on other"
    made.forget("box")
    made.forget("box")
    assert made.words() == "1 × T4 on other"
    assert book().words() == "no GPU"


def test_lost_device_in_slices_stands_for_each_of_them() -> None:
    slices = [device("NVIDIA A100 MIG 1g.5gb", 4.75, uuid=f"MIG-{n}") for n in range(2)]
    made = book(*slices)
    made.assign("a", ("MIG",))
    made.tell("box", [DeviceStats(host="box", index=0, uuid="", name="", error="GPU is lost")])
    assert [(d.uuid, d.container_id, d.error) for d in made.devices()] == [
        ("MIG-0", "a", "GPU is lost"),
        ("MIG-1", None, "GPU is lost"),
    ]


def test_container_whose_device_has_vanished_gets_no_other_one() -> None:
    made = book(H100, H200)
    made.assign("a", ("H100!",))
    made.tell("box", [H200])
    assert made.assign("a", ("ANY",)) == ()
    assert made.more(("ANY",)) == 1


def test_process_that_has_seen_devices_counts_for_no_others() -> None:
    made = book(H100, H200, T4)
    assert made.more(("ANY",), ["box"], only=("GPU-box-2",)) == 1
    assert made.more(("H100",), ["box"], only=("GPU-box-2",)) == 0


def test_wishes_in_words_and_what_fits_them() -> None:
    assert wish_words(("H100:2", "L40S", "ANY")) == "2 × H100 or L40S or GPU of any type"
    assert fits(("L40S", "H100:2"), H200)
    assert not fits(("L40S", "H100!"), H200)


NAMES = ["NVIDIA H100", "NVIDIA H200", "NVIDIA A10", "NVIDIA A10G", "Tesla T4"]
WISHES = ["H100", "H100!", "H100:2", "A10", "A10:2", "T4", "T4:3", "ANY", "ANY:2", "MIG"]


class Allocation(RuleBasedStateMachine):
    """Hosts come, change and go while containers take and give back devices."""

    def __init__(self) -> None:
        super().__init__()
        self.book = DeviceBook()
        self.given: dict[str, tuple[tuple[str, ...], tuple[DeviceStats, ...]]] = {}

    @rule(
        host=st.sampled_from("xyz"),
        names=st.lists(st.sampled_from(NAMES), max_size=5),
        lost=st.sets(st.integers(0, 4)),
        sliced=st.booleans(),
    )
    def tell(self, host: str, names: list[str], lost: set[int], sliced: bool) -> None:
        devices = [
            DeviceStats(
                host=host,
                index=n,
                uuid=f"GPU-{host}{n}",
                name=name,
                memory_total=GIB,
                error="lost" if n in lost else None,
            )
            for n, name in enumerate(names)
        ]
        if sliced:
            name = "NVIDIA A100 MIG 1g.5gb"
            devices.append(DeviceStats(host=host, index=9, uuid=f"MIG-{host}", name=name))
        self.book.tell(host, devices)

    @rule(host=st.sampled_from("xyz"))
    def forget(self, host: str) -> None:
        self.book.forget(host)

    @rule(
        name=st.sampled_from("abcdef"),
        gpu=st.lists(st.sampled_from(WISHES), min_size=1, max_size=3, unique=True),
        host=st.sampled_from(["x", "y", None]),
    )
    def assign(self, name: str, gpu: list[str], host: str | None) -> None:
        if name in self.given:
            return
        wishes = gpu_wishes(gpu)
        before = self.book.more(wishes, None if host is None else [host])
        given = self.book.assign(name, wishes, host=host)
        assert (given is not None) == (before > 0)
        if given is None:
            return
        self.given[name] = (wishes, given)
        assert len({d.host for d in given}) == 1
        assert host is None or given[0].host == host
        assert not any(d.error for d in given)
        met = [
            (kind, count)
            for kind, count in map(split_wish, wishes)
            if count == len(given) and all(rank(kind, d) is not None for d in given)
        ]
        assert met
        assert self.book.exists(wishes)

    @rule(name=st.sampled_from("abcdef"))
    def release(self, name: str) -> None:
        assert self.book.release(name) == (name in self.given)
        self.given.pop(name, None)

    @invariant()
    def no_device_has_two_containers(self) -> None:
        held = [d.uuid for _, given in self.given.values() for d in given]
        assert len(held) == len(set(held))
        for d in self.book.devices():
            owners = {e.uuid: name for name, (_, given) in self.given.items() for e in given}
            assert d.container_id == owners.get(d.uuid)


TestAllocation = Allocation.TestCase
