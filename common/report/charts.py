"""Small charts of one run, as SVG for the page (imports no Keras)."""

import math

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 320, 170, 38, 30


def draw(run, kind):
    """Returns a small chart of one run: `loss` (log scale) or `accuracy`, as HTML."""
    size = len(run.history["epoch"])
    chosen = sorted({*range(0, size, max(1, size // 25)), size - 1})
    lines = _lines(run, kind, chosen)
    every = [v for line in lines.values() for v in line if math.isfinite(v)]
    if not every:
        return ""
    ticks = _ticks(every) if kind == "loss" else [0, 50, 100]
    low, high = ticks[0], ticks[-1]
    last = max(2, run.history["epoch"][-1])

    def across(epoch):
        return _LEFT + (epoch - 1) / (last - 1) * (_WIDTH - _LEFT - 8)

    def up(value):
        return 8 + (high - value) / (high - low) * (_HEIGHT - _BOTTOM - 8)

    epochs = [run.history["epoch"][i] for i in chosen]
    drawn = _axes(ticks, kind, last, across, up)
    for (word, values), dashes in zip(lines.items(), ("", "2 3"), strict=True):
        points = " ".join(
            f"{across(e):.1f},{up(v):.1f}"
            for e, v in zip(epochs, values, strict=False)
            if math.isfinite(v)
        )
        drawn += (
            f'<polyline points="{points}" fill="none" stroke="var(--alexnet)" '
            f'stroke-width="1.6" stroke-dasharray="{dashes}"><title>{word}</title>'
            "</polyline>"
        )
    drawn += _strips(epochs, lines, kind, across)
    unit = "cross-entropy (nats)" if kind == "loss" else "accuracy (%)"
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{unit} of {run.name}">{drawn}</svg>'
        f"<figcaption>{unit}: training (solid), test (dotted)</figcaption></figure>"
    )


def _lines(run, kind, chosen):
    """What a chart shows, at the chosen epochs: log10 of the loss, or % accuracy."""
    lines = {}
    for part, word in (("train", "training"), ("val", "test")):
        if kind == "loss":
            values = run.history.get(f"{part}_cross_entropy", [])
            lines[word] = [math.log10(max(values[i], 1e-9)) for i in chosen if values]
        else:
            values = run.history.get(f"{part}_accuracy", [])
            lines[word] = [100 * values[i] for i in chosen if values]
    return lines


def _ticks(logarithms):
    low, high = math.floor(min(logarithms)), math.ceil(max(logarithms))
    return list(range(low, max(high, low + 1) + 1))


def _axes(ticks, kind, last, across, up):
    style = 'stroke="currentColor" stroke-opacity=".25"'
    text = 'font-size="10" fill="currentColor"'
    drawn = ""
    for tick in ticks:
        y = up(tick)
        name = f"{10.0**tick:g}" if kind == "loss" else tick
        drawn += f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - 8}" {style}/>'
        drawn += (
            f'<text x="{_LEFT - 4}" y="{y + 3:.1f}" text-anchor="end" {text}>{name}'
            "</text>"
        )
    for epoch, anchor in ((1, "start"), (last, "end")):
        drawn += (
            f'<text x="{across(epoch):.1f}" y="{_HEIGHT - 16}" text-anchor="{anchor}" '
            f"{text}>{epoch:g}</text>"
        )
    middle = (across(1) + across(last)) / 2
    return drawn + (
        f'<text x="{middle:.1f}" y="{_HEIGHT - 4}" text-anchor="middle" {text}>epochs'
        "</text>"
    )


def _strips(epochs, lines, kind, across):
    """Invisible columns over a chart, whose hover says all values of an epoch."""
    half = (across(epochs[-1]) - across(epochs[0])) / max(1, len(epochs) - 1) / 2
    strips = ""
    for i, epoch in enumerate(epochs):
        said = [f"epoch {epoch:g}"]
        for word, values in lines.items():
            if i < len(values) and math.isfinite(values[i]):
                value = 10 ** values[i] if kind == "loss" else values[i]
                said.append(f"{word} {value:.4g}" + " %" * (kind != "loss"))
        x = across(epoch) - half
        strips += (
            f'<rect x="{x:.1f}" y="8" width="{2 * half:.1f}" '
            f'height="{_HEIGHT - _BOTTOM - 8}" data-tip="{", ".join(said)}"/>'
        )
    return strips
