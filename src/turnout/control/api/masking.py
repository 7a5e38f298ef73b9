"""What is shown of personal data and secrets (`config-api.md` B11, C2, C4). Pure."""

import ipaddress
from collections.abc import Mapping

import msgspec

from turnout.control import urls
from turnout.control.urls import masked_url
from turnout.destinations.registry import is_secret

MASK = urls.MASK
_USER_SHOWN = frozenset(
    (
        *("id", "consistent_anonymous_id", "consent_categories", "consentID", "refused_vendors"),
        *("google_consent_mode", "consent_version"),
    )
)
"""Members of `user` that are not masked: its two ids, and consent."""
_ADDRESSES = ("ip", "ip_address", "client_ip", "remote_addr")


def masked_event(event: Mapping[str, object], personal: bool) -> dict[str, object]:
    """A version 2 event as its reader may see it: addresses always shortened, personal data if `personal`."""
    shown = dict(event)
    context = event.get("context")
    device = context.get("device") if isinstance(context, Mapping) else None
    if isinstance(context, Mapping) and isinstance(device, Mapping):
        device = dict(device)
        if "ip" in device:
            device["ip"] = masked_address(device["ip"])
        if "cookie" in device and not personal:
            device["cookie"] = MASK
        shown["context"] = {**context, "device": device}
    if "user" in event and not personal:
        user = event["user"]
        shown["user"] = (
            {key: value if key in _USER_SHOWN else MASK for key, value in user.items()}
            if isinstance(user, Mapping)
            else MASK
        )
    return shown


def is_masked(path: str) -> bool:
    """Whether a property of an event is hidden from who may not see personal data."""
    first, _, rest = path.partition(".")
    return first == "user" and rest.partition(".")[0] not in _USER_SHOWN


def masked_addresses(document: object) -> object:
    """A document of any shape with every address under a name such as `ip` shortened."""
    if isinstance(document, Mapping):
        return {
            name: masked_address(member)
            if name.lower() in _ADDRESSES and member is not None
            else masked_addresses(member)
            for name, member in document.items()
        }
    return [masked_addresses(one) for one in document] if isinstance(document, list) else document


def masked_address(text: object) -> str:
    """An IP address without its last 8 bits (IPv4) or 80 bits (IPv6); anything else is masked whole."""
    try:
        address = ipaddress.ip_address(str(text))
    except ValueError:
        return MASK
    kept = 24 if address.version == 4 else 48
    return str(ipaddress.ip_network((address, kept), strict=False).network_address)


def masked_settings(settings: object) -> dict[str, object]:
    """The settings of a destination: of a secret one only whether it is set; credentials in URLs are hidden."""
    if not isinstance(settings, msgspec.Struct):
        return {}
    shown: dict[str, object] = {}
    for field in msgspec.structs.fields(type(settings)):
        value = getattr(settings, field.name)
        if is_secret(field.type):
            shown[field.encode_name] = {"set": bool(value)}
        else:
            shown[field.encode_name] = masked_url(value) if isinstance(value, str) else msgspec.to_builtins(value)
    return shown
