"""Merging what a PATCH sends into what there is: RFC 7396. Pure."""

from collections.abc import Mapping


def merged(target: object, patch: object) -> object:
    """`patch` over `target`: members of objects one by one, null removes, everything else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    kept = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            kept.pop(name, None)
        else:
            kept[name] = merged(kept.get(name), value)
    return kept
