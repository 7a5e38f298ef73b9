"""Charts as SVG, drawn on the server. Colours come from the style sheet's classes; each chart says itself in words."""

from collections.abc import Sequence

from markupsafe import Markup


def sparkline(values: Sequence[float | None], label: str, width: int = 120, height: int = 28) -> Markup:
    """A line without axes, e.g. a trend of 30 days; where there is no value there is a gap."""
    known = [value for value in values if value is not None]
    if not known:
        return Markup('<svg class="spark" width="{}" height="{}" role="img" aria-label="{}"></svg>').format(
            width, height, label
        )
    top, low = max(known), min(0.0, *known)
    spread = (top - low) or 1
    step = width / max(1, len(values) - 1)
    drawn, path = False, []
    for place, value in enumerate(values):
        if value is None:
            drawn = False
            continue
        y = height - 2 - (value - low) / spread * (height - 4)
        path.append(f"{'L' if drawn else 'M'}{place * step:.1f} {y:.1f}")
        drawn = True
    return Markup(
        '<svg class="spark" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="img" aria-label="{2}">'
        '<path d="{3}" fill="none"/></svg>'
    ).format(width, height, label, "".join(path))


def columns(
    buckets: Sequence[tuple[str, Sequence[tuple[str, int]]]], label: str, links: Sequence[str] = (), height: int = 96
) -> Markup:
    """Stacked columns over time: per bucket its name and its parts, each a class of the style sheet and a count.

    `links`: where each column leads, if they lead anywhere.
    """
    highest = max((sum(count for _, count in parts) for _, parts in buckets), default=0) or 1
    each = 1000 / max(1, len(buckets))
    drawn = []
    for place, (name, parts) in enumerate(buckets):
        x, y = place * each, float(height)
        total = sum(count for _, count in parts)
        blocks = []
        for kind, count in parts:
            if not count:
                continue
            tall = max(1.5, count / highest * (height - 4))
            y -= tall
            blocks.append(
                Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
                    f"part-{kind}", f"{x + each * 0.1:.1f}", f"{y:.1f}", f"{each * 0.8:.1f}", f"{tall:.1f}"
                )
            )
        said = ", ".join(f"{kind} {count}" for kind, count in parts if count) or "0"
        hover = Markup('<rect class="hover" x="{}" y="0" width="{}" height="{}"><title>{}</title></rect>').format(
            f"{x:.1f}", f"{each:.1f}", height, f"{name}: {said}" if total else f"{name}: 0"
        )
        block = Markup("").join([*blocks, hover])
        drawn.append(
            Markup('<a href="{}" aria-label="{}">{}</a>').format(links[place], f"{name}: {said}", block)
            if links
            else block
        )
    return Markup(
        '<svg class="columns" viewBox="0 0 1000 {}" preserveAspectRatio="none" role="{}" aria-label="{}">{}</svg>'
    ).format(height, "group" if links else "img", label, Markup("").join(drawn))
