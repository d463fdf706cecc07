"""The comparison of findings with labels as one HTML file that loads nothing else."""

from html import escape

from models.evaluate import Card, Score
from zhiwei.wiring.evaluate import HEAD, false, missed, row, share

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:90rem;padding:0 1rem;color:#1c2733}
table{border-collapse:collapse;margin:1rem 0;font-size:.86rem}
th,td{padding:.35rem .6rem;border-bottom:1px solid #d8dee5;text-align:left;vertical-align:top}
th{background:#f2f5f8}
tr.critical td:first-child{border-left:4px solid #b3261e}
tr.sum td{font-weight:600}
ul{font:13px/1.5 ui-monospace,monospace;padding-left:1.2rem}
.scroll{overflow-x:auto}
"""


def as_html(card: Card) -> str:
    """A page: recall as bars with their intervals, the table, field faults, what was missed and false."""
    watched = "; ".join(f"{name}: {e.entities} entities, {e.days:g} days" for name, e in card.extents.items())
    scores = [*card.kinds, card.life_safety, card.all]
    body = "".join(_row(one, one in (card.life_safety, card.all)) for one in scores)
    parts = [
        "<h1>Findings and what truly happened</h1>",
        f"<p>Watched: {escape(watched)}. Intervals are 95 %: Wilson for shares, Poisson for rates. "
        "A red edge marks life safety.</p>",
        "<h2>Found</h2>",
        _bars([one for one in scores if one.found.of]),
        "<h2>By kind</h2>",
        f'<div class="scroll"><table><tr>{_cells("th", HEAD)}</tr>{body}</table></div>',
    ]
    if card.faults:
        rows = "".join(
            f"<tr>{_cells('td', (f.name, str(f.entities), share(f.found), str(f.false)))}</tr>"
            for f in card.faults
        )
        head = _cells("th", ("field fault", "entities", "found", "false alarms"))
        parts.append(f"<h2>Field faults</h2><table><tr>{head}</tr>{rows}</table>")
    parts.append(_listed("Missed", [missed(label) for label in card.missed]))
    parts.append(_listed("False", [false(episode) for episode in card.false]))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Zhiwei evaluation</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _row(one: Score, is_sum: bool) -> str:
    names = [name for name, is_so in (("critical", one.life_safety), ("sum", is_sum)) if is_so]
    return f'<tr class="{" ".join(names)}">{_cells("td", row(one))}</tr>'


def _cells(tag: str, texts: tuple[str, ...]) -> str:
    return "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts)


def _bars(scores: list[Score]) -> str:
    """A bar for each share, and a line for its interval."""
    wide, high, left = 360, 24, 240
    drawn = []
    for place, one in enumerate(scores):
        y, (low, top) = place * high, one.found.interval
        mid = y + 11.5
        colour = "#b3261e" if one.life_safety else "#2f6f9f"
        drawn.append(
            f'<text x="0" y="{y + 16}">{escape(one.name)}</text>'
            f'<rect x="{left}" y="{y + 5}" width="{one.found.value * wide:.1f}" height="13" fill="{colour}"/>'
            f'<line x1="{left + low * wide:.1f}" x2="{left + top * wide:.1f}" y1="{mid}" y2="{mid}" '
            'stroke="#1c2733" stroke-width="2"/>'
            f'<text x="{left + wide + 12}" y="{y + 16}">{escape(share(one.found))}</text>'
        )
    height = max(1, len(scores)) * high
    return f'<svg width="860" height="{height}" font-size="13" role="img">{"".join(drawn)}</svg>'


def _listed(name: str, texts: list[str]) -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in texts) or "<li>none</li>"
    return f"<h2>{name}: {len(texts)}</h2><ul>{items}</ul>"
