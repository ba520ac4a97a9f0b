"""Which devices a container gets: what there is, what a wish matches, and who holds what."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from modalnb.resources import ANY, split_wish
from modalnb.snapshot import DeviceStats

#: Types that may be had under another name, in order of preference: "H100!" is an H100 and nothing
#: else, as in Modal, where "H100" may turn out an H200.
_ALSO = {
    "A10": ("A10", "A10G"),
    "A10G": ("A10G", "A10"),
    "H100": ("H100", "H200"),
    "B200+": ("B200", "B300"),
}
#: Words of device names that tell nobody what the device can do.
_FILLERS = re.compile(
    r"NVIDIA|TESLA|GEFORCE|QUADRO|PCIE?|SXM\d*|NVL|HBM\w*|\d+GB|BLACKWELL|SERVER|WORKSTATION"
    r"|EDITION|GENERATION|GRAPHICS|DEVICE"
)
#: Types that are rented by their memory too.
_SIZED = {"A100"}
_SLICE = "MIG"
_GIB = 2**30


def is_slice(device: DeviceStats) -> bool:
    """Whether it is a part of a device (MIG); a process can use one of them at a time."""
    return device.uuid.startswith(_SLICE)


def kind_of(device: DeviceStats) -> str:
    """The type as it can be asked for, such as ``"H100"``, ``"A100-40GB"``, ``"MIG-1G.5GB"``."""
    tokens = _tokens(device)
    if not is_slice(device):
        tokens = [token for token in tokens if not _FILLERS.fullmatch(token)] or tokens
        if tokens[0] in _SIZED:
            tokens.append(f"{_gib(device) / 10:.0f}0GB")
    return "-".join(tokens)


def _gib(device: DeviceStats) -> float:
    return (device.memory_total or 0) / _GIB


def _tokens(device: DeviceStats) -> list[str]:
    tokens = [token for token in re.split(r"[\s_-]+", device.name.upper()) if token]
    if is_slice(device):
        return tokens[tokens.index(_SLICE) :] if _SLICE in tokens else [_SLICE]
    return tokens or ["GPU"]


def rank(kind: str, device: DeviceStats) -> int | None:
    """How well a device fits a type: 0 best, None not at all."""
    if kind == ANY:
        return 0
    names = (kind[:-1],) if kind.endswith("!") else _ALSO.get(kind, (kind.rstrip("+"),))
    return next((n for n, name in enumerate(names) if _is_named(name, device)), None)


def fits(gpu: tuple[str, ...], device: DeviceStats) -> bool:
    """Whether a device is of a type that one of the wishes names."""
    return any(rank(split_wish(wish)[0], device) is not None for wish in gpu)


def wish_words(gpu: tuple[str, ...]) -> str:
    """The wishes for people, such as ``"2 × H100 or L40S"``."""
    each = []
    for kind, count in map(split_wish, gpu):
        name = "GPU of any type" if kind == ANY else kind
        each.append(f"{count} × {name}" if count > 1 else name)
    return " or ".join(each)


def _is_named(name: str, device: DeviceStats) -> bool:
    sized = re.fullmatch(r"(.+)[\s_-](\d+)GB", name)
    if sized is not None:
        size = int(sized[2])
        # Drivers tell a few percent less than the name says.
        if abs(_gib(device) - size) > 0.08 * size:
            return False
        name = sized[1]
    wanted = re.sub(r"[\s_-]+", "", name)
    tokens = _tokens(device)
    starts = range(1) if is_slice(device) else range(len(tokens))
    return any(
        "".join(tokens[start:stop]) == wanted
        for start in starts
        for stop in range(start + 1, len(tokens) + 1)
    )


class DeviceBook:
    """The devices of all hosts, and the containers that hold them: one device, one container."""

    def __init__(self) -> None:
        self._hosts: dict[str, tuple[DeviceStats, ...]] = {}
        #: Container by uuid; a device that has vanished stays held until its container ends.
        self._holders: dict[str, str] = {}

    # -- what there is ---------------------------------------------------------------------

    def tell(self, host: str, devices: Iterable[DeviceStats]) -> None:
        """These are the devices of a host now; a lost one may have no uuid any more."""
        known = self._hosts.get(host, ())
        self._hosts[host] = tuple(
            found for device in devices for found in _recognised(device, known)
        )

    def forget(self, host: str) -> None:
        """A host is gone."""
        self._hosts.pop(host, None)

    def devices(self, host: str | None = None) -> tuple[DeviceStats, ...]:
        """All devices, or those of one host, with the containers that hold them."""
        hosts = sorted(self._hosts) if host is None else [host]
        return tuple(
            replace(device, container_id=self._holders.get(device.uuid))
            for name in hosts
            for device in self._hosts.get(name, ())
        )

    def words(self) -> str:
        """All devices in words."""
        counts = Counter((d.host, kind_of(d), d.error) for d in self.devices())
        each = [
            f"{count} × {kind} on {host}" + (f" ({error})" if error else "")
            for (host, kind, error), count in counts.items()
        ]
        return ", ".join(each) or "no GPU"

    def exists(self, gpu: tuple[str, ...]) -> bool:
        """Whether some host has what one of the wishes needs, free or not."""
        return self._choose(gpu, self._working()) is not None

    def more(
        self,
        gpu: tuple[str, ...],
        hosts: Iterable[str] | None = None,
        only: tuple[str, ...] | None = None,
    ) -> int:
        """For how many more containers the free devices would do; see :meth:`assign`."""
        free = self._free(hosts, only)
        count = 0
        while (chosen := self._choose(gpu, free)) is not None:
            count += 1
            free = {h: [d for d in devices if d not in chosen] for h, devices in free.items()}
        return count

    # -- who holds what --------------------------------------------------------------------

    def assign(
        self,
        container_id: str,
        gpu: tuple[str, ...],
        *,
        host: str | None = None,
        only: tuple[str, ...] | None = None,
    ) -> tuple[DeviceStats, ...] | None:
        """Give a container its devices, all of one host; None if there are none free.

        Parameters
        ----------
        container_id : str
            Whoever has devices already keeps them.
        gpu : tuple of str
            The wishes, tried in order.
        host : str, optional
            Where the container is; unless given, any host will do.
        only : tuple of str, optional
            The uuids that its process can see, if that is settled.
        """
        if container_id in self._holders.values():
            return self.held(container_id)
        chosen = self._choose(gpu, self._free(None if host is None else [host], only))
        if chosen is None:
            return None
        self._holders.update(dict.fromkeys((device.uuid for device in chosen), container_id))
        return self.held(container_id)

    def held(self, container_id: str) -> tuple[DeviceStats, ...]:
        """The devices of a container."""
        if container_id not in self._holders.values():
            return ()
        return tuple(d for d in self.devices() if d.container_id == container_id)

    def release(self, container_id: str) -> bool:
        """A container has ended; whether it held any device."""
        uuids = [uuid for uuid, holder in self._holders.items() if holder == container_id]
        for uuid in uuids:
            del self._holders[uuid]
        return bool(uuids)

    def holders(self, gpu: tuple[str, ...]) -> set[str]:
        """The containers that hold a device that one of the wishes could be met with."""
        return {d.container_id for d in self.devices() if d.container_id and fits(gpu, d)}

    # -- choosing --------------------------------------------------------------------------

    def _working(self) -> dict[str, list[DeviceStats]]:
        return {
            host: [device for device in devices if not device.error and device.uuid]
            for host, devices in self._hosts.items()
        }

    def _free(
        self, hosts: Iterable[str] | None, only: tuple[str, ...] | None
    ) -> dict[str, list[DeviceStats]]:
        working = self._working()
        return {
            host: [
                device
                for device in working.get(host, ())
                if device.uuid not in self._holders and (only is None or device.uuid in only)
            ]
            for host in (working if hosts is None else hosts)
        }

    @staticmethod
    def _choose(
        gpu: tuple[str, ...], free: Mapping[str, list[DeviceStats]]
    ) -> tuple[DeviceStats, ...] | None:
        """Devices of one host for the first wish that can be met."""
        for wish in gpu:
            kind, count = split_wish(wish)
            offers = [offer for host in sorted(free) if (offer := _offer(kind, count, free[host]))]
            if offers:
                return min(offers, key=lambda offer: offer[:2])[2]
        return None


#: How far from what was asked, how many are left over, and the devices.
_Offer = tuple[int, int, tuple[DeviceStats, ...]]


def _offer(kind: str, count: int, devices: list[DeviceStats]) -> _Offer | None:
    """The best devices of one host, small ones first so that large ones stay free."""
    ranked = [
        (fit, _gib(device), device.index, device.uuid, device)
        for device in devices
        if (fit := rank(kind, device)) is not None and (count == 1 or not is_slice(device))
    ]
    if len(ranked) < count:
        return None
    best = sorted(ranked, key=lambda item: item[:4])[:count]
    return best[-1][0], len(ranked) - count, tuple(item[-1] for item in best)


def _recognised(device: DeviceStats, known: Iterable[DeviceStats]) -> list[DeviceStats]:
    """A lost device does not tell who it is: it is what was there, whole or in slices."""
    before = [] if device.uuid else [old for old in known if old.index == device.index]
    return [
        replace(old, utilization=None, memory_used=None, error=device.error) for old in before
    ] or [device]
