"""What is shown of personal data and secrets (`config-api.md` B11, C2, C4). Pure."""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from turnout.control import urls
from turnout.control.urls import masked_url
from turnout.destinations.registry import is_secret
from turnout.model.config import Snapshot
from turnout.model.specification import Specification

MASK = urls.MASK
_USER_SHOWN = frozenset(
    (
        *("id", "consistent_anonymous_id", "consent_categories", "consentID", "refused_vendors"),
        *("google_consent_mode", "consent_version"),
    )
)
"""Members of `user` that are not masked: its two ids, and consent."""
_ADDRESSES = ("ip", "ip_address", "client_ip", "remote_addr")


class Hidden:
    """What of a site's events tells who a person is, and is hidden from who may not see that.

    It is what is known of any user, and the properties that the site's specification flags as `pii`, be it in one
    event only.
    """

    def __init__(self, specification: Specification | None = None) -> None:
        self._flagged: _Tree = {}
        for path in sorted(_flagged(specification), key=lambda path: path.count(".")) if specification else ():
            _plant(self._flagged, path.split("."))

    def covers(self, path: str) -> bool:
        """Whether a property, or what it is in, is hidden. A path may have indexes: `items.0.engraving`."""
        first, *rest = path.split(".")
        if first == "user" and (not rest or rest[0] not in _USER_SHOWN):
            return True
        tree: _Tree | None = self._flagged
        for name in (first, *rest):
            if tree and not (name.isdigit() and name not in tree):
                tree = tree.get(name)
                if tree == {}:
                    return True
        return False

    def mask(self, event: Mapping[str, object]) -> dict[str, object]:
        """The event with `***` in the place of what is hidden. What formulas complain about quotes values, too."""
        shown = _masked_members(event, self._flagged)
        if "user" in event:
            user = shown["user"]
            shown["user"] = (
                {key: value if key in _USER_SHOWN else MASK for key, value in user.items()}
                if isinstance(user, Mapping)
                else MASK
            )
        context = shown.get("context")
        if isinstance(context, Mapping) and isinstance(warnings := context.get("warnings"), list):
            shown["context"] = {**context, "warnings": [_quiet(one) for one in warnings]}
        return shown


_Tree = dict[str, "_Tree"]
"""Names below names; an empty one is hidden whole."""


def _flagged(specification: Specification) -> Iterator[str]:
    for listed in (specification.properties, *(event.properties for event in specification.events.values())):
        yield from (path for path, one in listed.items() if one.pii)


def _plant(tree: _Tree, path: Sequence[str]) -> None:
    """Hide a path; the shorter ones come first."""
    *above, last = path
    for name in above:
        if tree.get(name) == {}:
            return
        tree = tree.setdefault(name, {})
    tree[last] = {}


def _masked_members(value: Mapping[str, object], tree: _Tree) -> dict[str, object]:
    shown = dict(value)
    for name in tree.keys() & value.keys():
        shown[name] = _masked(value[name], tree[name]) if tree[name] else MASK
    return shown


def _masked(value: object, tree: _Tree) -> object:
    if isinstance(value, Mapping):
        return _masked_members(value, tree)
    return [_masked(one, tree) for one in value] if isinstance(value, list) else value


def _quiet(warning: object) -> object:
    detail = warning.get("detail") if isinstance(warning, Mapping) else None
    if isinstance(warning, Mapping) and warning.get("type") == "formula" and isinstance(detail, Mapping):
        return {**warning, "detail": {**detail, "message": MASK}}
    return warning


def hidden_of(snapshot: Snapshot, site: str) -> Hidden:
    """What is hidden of the events of a site."""
    return Hidden(snapshot.specifications.get(site))


def masked_event(event: Mapping[str, object], hidden: Hidden | None) -> dict[str, object]:
    """A version 2 event as its reader may see it: addresses always shortened; None hides nothing else."""
    shown = dict(event) if hidden is None else hidden.mask(event)
    context = shown.get("context")
    device = context.get("device") if isinstance(context, Mapping) else None
    if isinstance(context, Mapping) and isinstance(device, Mapping):
        device = dict(device)
        if "ip" in device:
            device["ip"] = masked_address(device["ip"])
        if "cookie" in device and hidden is not None:
            device["cookie"] = MASK
        shown["context"] = {**context, "device": device}
    return shown


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
