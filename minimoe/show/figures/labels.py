"""Places for the labels of crowded points, so that no label covers anything."""

import math

import numpy as np

MARK = 5.0  # half the side of the square around a point that no label may cover
APART = 14.0  # a label nearer than this to another point than to its own would be misread
FAR = 150.0  # the longest line from a point to its label


def place_labels(
    marks: np.ndarray, sizes: np.ndarray, taken: np.ndarray, room: np.ndarray
) -> np.ndarray:
    """Find a place for each label as near to its point as it covers nothing, its line included.

    Labels are placed one after another. When one finds no place, all start again with that label
    first. After 2 n such attempts the one that placed most labels is used; a label without a place
    is put on its point.

    Args:
        marks: the points, [n, 2], in pixels.
        sizes: width and height of the labels, [n, 2].
        taken: boxes that nothing may cover, [m, 4]: left, bottom, right, top.
        room: the box that all labels must lie in, [4].

    Returns:
        From each point to the middle of its label, [n, 2]. A label 20 wide with nothing around it
        is 7 pixels to the right of its point: [17, 0].
    """
    order = list(range(len(marks)))
    best: dict[int, np.ndarray] = {}
    taken = np.concatenate([taken.reshape(-1, 4), _boxes(marks, 2 * MARK)])
    for _ in range(2 * len(marks)):
        found, covered = {}, taken
        for label in order:
            mark, size, others = marks[label], sizes[label], np.delete(marks, label, axis=0)
            offset = _nearest_free(mark, size, covered, room, others)
            if offset is None:
                break
            found[label] = offset
            own = [_boxes(mark + offset, size), _line(mark, offset, size)]
            covered = np.concatenate([covered, *own])
        best = max(best, found, key=len)
        if len(found) == len(order):
            break
        order.insert(0, order.pop(len(found)))
    return np.array([best.get(label, np.zeros(2)) for label in range(len(marks))])


def _nearest_free(
    mark: np.ndarray, size: np.ndarray, taken: np.ndarray, room: np.ndarray, others: np.ndarray
) -> np.ndarray | None:
    """The first offset, near before far and right before left, at which nothing is covered.

    At that offset the label is not nearer to another point than to its own either.
    """
    turns = [sign * math.pi * part / 12 for part in range(7) for sign in (1, -1)]
    turns += [math.pi - turn for turn in turns]
    ways = np.array([[math.cos(turn), math.sin(turn)] for turn in turns])
    offsets = np.concatenate([ways * (far + size / 2) for far in np.arange(7.0, FAR, 6.0)])
    boxes = _boxes(mark + offsets, size)
    inside = np.all((boxes[:, :2] >= room[:2]) & (boxes[:, 2:] <= room[2:]), axis=1)
    near = np.minimum(_distances(boxes, mark[None]).min(axis=1), APART)
    clear = _distances(boxes, others).min(axis=1, initial=np.inf) > near
    free = offsets[inside & clear & ~_meet(boxes, taken)]
    return next((o for o in free if not _meet(_line(mark, o, size), taken).any()), None)


def _line(mark: np.ndarray, offset: np.ndarray, size: np.ndarray) -> np.ndarray:
    """[k, 4]: small boxes along the line to a label, without those in the label or the mark."""
    steps = np.linspace(0, 1, 16)[:, None] * offset
    between = np.any(np.abs(steps) > MARK + 1, axis=1)
    between &= np.any(np.abs(steps - offset) > size / 2, axis=1)
    return _boxes(mark + steps[between], 2.0)


def _distances(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[n, m]: from each of n boxes to each of m points, 0 inside."""
    low, high = boxes[:, None, :2] - points, points - boxes[:, None, 2:]
    return np.linalg.norm(np.maximum(np.maximum(low, high), 0), axis=-1)


def _boxes(middles: np.ndarray, size: np.ndarray | float) -> np.ndarray:
    """[n, 4] of one size around points [n, 2], or around one point [2]."""
    middles = np.atleast_2d(middles)
    return np.concatenate([middles - size / 2, middles + size / 2], axis=1)


def _meet(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """[n]: whether each of n boxes overlaps one of the others."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    overlap = (low < others[:, 2:]) & (high > others[:, :2])
    return np.any(np.all(overlap, axis=-1), axis=1)
