"""How often an address may be wrong. Memory is bounded: the address that was wrong longest ago is forgotten first."""

import ipaddress
import threading
from collections import OrderedDict

BURST = 10
"""Failures in a row before an address has to wait."""
EACH_MS = 6_000
"""After how long one more failure is forgiven."""
ADDRESSES = 4_096


class Logins:
    """Failed logins by address; an IPv6 network counts as one. Times in ms. Safe in threads."""

    def __init__(self, most: int = ADDRESSES) -> None:
        self._most = most
        self._clear_at_ms: OrderedDict[str, int] = OrderedDict()
        """When all failures of an address will be forgiven."""
        self._lock = threading.Lock()

    def wait_ms(self, address: str, now_ms: int) -> int:
        """How long this address has to wait before it may try; 0: not at all."""
        with self._lock:
            return max(0, self._clear_at_ms.get(_network(address), 0) - now_ms - (BURST - 1) * EACH_MS)

    def failed(self, address: str, now_ms: int) -> None:
        """Count a failure."""
        network = _network(address)
        with self._lock:
            before = self._clear_at_ms.pop(network, 0)
            self._clear_at_ms[network] = max(before, now_ms) + EACH_MS
            while len(self._clear_at_ms) > self._most:
                self._clear_at_ms.popitem(last=False)

    def __len__(self) -> int:
        return len(self._clear_at_ms)


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address) or parsed.ipv4_mapped is not None:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))
