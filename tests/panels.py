"""What tests of figures ask of a panel that has been drawn."""


def assert_ticks_are_apart(figure, axis):
    """No tick's label lies on the next."""
    renderer = figure.canvas.get_renderer()
    low, high = sorted(axis.get_xlim())
    boxes = [
        label.get_window_extent(renderer)
        for at, label in zip(axis.get_xticks(), axis.get_xticklabels(), strict=False)
        if label.get_text() and low <= at <= high
    ]
    boxes.sort(key=lambda box: box.x0)
    for left, right in zip(boxes, boxes[1:], strict=False):
        assert left.x1 < right.x0


def assert_legends_are_whole(figure):
    """None is cut off at the figure's edge."""
    renderer, whole = figure.canvas.get_renderer(), figure.bbox
    for legend in figure.legends:
        box = legend.get_window_extent(renderer)
        assert whole.x0 <= box.x0 and box.x1 <= whole.x1, legend.get_title().get_text()
        assert whole.y0 <= box.y0 and box.y1 <= whole.y1, legend.get_title().get_text()


def assert_curves_are_free(figure, axis):
    """No legend, and no text, lies on a curve or a point."""
    renderer = figure.canvas.get_renderer()
    said = [text for text in axis.texts if text.get_text()]
    said += filter(None, [axis.get_legend()])
    for artist in said:
        box = artist.get_window_extent(renderer).padded(-3)  # letters, not their frame
        for line in axis.lines:
            path = line.get_transform().transform_path(line.get_path())
            if line.get_linestyle() == "None":
                hidden = box.count_contains(path.vertices)
            else:
                hidden = len(path.vertices) and path.intersects_bbox(box, filled=False)
            assert not hidden, (artist, line.get_label())
