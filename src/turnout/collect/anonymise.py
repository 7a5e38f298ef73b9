"""IP addresses as their owner wants them kept: whole, cut, or not at all (`collect.md` §13). Pure.

What must stay true: with `truncate` and `drop` no whole address of a client gets past here, neither in the event nor
in what is kept of it as it came.
"""

import ipaddress
import re
from functools import lru_cache

from turnout.collect.convert import Event
from turnout.collect.proxies import address_of
from turnout.model.config import IpMode

_ADDRESS_BYTES = 64
_IPV4 = re.compile(rb"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\d)")
_IPV6 = re.compile(rb"(?<![\w:])[0-9A-Fa-f:]{2,39}+(?:\.\d{1,3}){0,3}+(?![\w:])")


@lru_cache(8192)
def anonymise(address: str, mode: IpMode) -> str:
    """What is kept of an address; "" if nothing is, as of a text that is no address unless everything is kept."""
    if mode == "keep":
        return address
    usual = address_of(address)
    if mode == "drop" or not usual:
        return ""
    prefix = 48 if ":" in usual else 24
    return str(ipaddress.ip_network(f"{usual}/{prefix}", strict=False).network_address)


def anonymise_event(event: Event, mode: IpMode) -> Event:
    """The event with what is kept of `context.device.ip`, and of `device.ip`, where older payloads have it.

    The given event is not changed; it is what is given back when there was nothing to do.
    """
    if mode == "keep":
        return event
    out = _device(event, mode)
    context = event.get("context")
    if isinstance(context, dict) and (inner := _device(context, mode)) is not context:
        out = {**out, "context": inner}
    return out


def anonymise_text(text: bytes, mode: IpMode) -> bytes:
    """The same for text that can't be read as an event: everything in it that looks like an address."""
    if mode == "keep":
        return text

    def kept(match: re.Match[bytes]) -> bytes:
        found = match[0].decode()
        return anonymise(found, mode).encode() if address_of(found) else match[0]

    return _IPV4.sub(kept, _IPV6.sub(kept, text))


def excerpt(text: bytes, size: int, mode: IpMode) -> bytes:
    """The beginning of a text, without what is not kept: also of an address that the end would cut."""
    if mode == "keep" or len(text) <= size:
        return anonymise_text(text[:size], mode)
    kept = anonymise_text(text[: size + _ADDRESS_BYTES], mode)
    return kept[: max(0, min(size, len(kept) - _ADDRESS_BYTES))]


def _device(holder: Event, mode: IpMode) -> Event:
    device = holder.get("device")
    if not isinstance(device, dict) or "ip" not in device:
        return holder
    ip = device["ip"]
    kept = anonymise(ip, mode) if isinstance(ip, str) else ""
    rest = {name: value for name, value in device.items() if name != "ip"}
    return {**holder, "device": {**rest, "ip": kept} if kept else rest}
