"""Whether a quantity that is sampled rises."""

from statistics import median


def fit(points, apart):
    """A straight line through (seconds, y): its slope per second, and the standard error of that. Samples `apart` seconds from
    each other count as independent; what is sampled more often than it changes is as good as fewer samples."""
    count = len(points)
    if count < 3:
        return 0.0, float("inf")
    x_mean, y_mean = (sum(point[axis] for point in points) / count for axis in (0, 1))
    spread = sum((x - x_mean) ** 2 for x, _ in points)
    slope = sum((x - x_mean) * (y - y_mean) for x, y in points) / spread
    rest = sum((y - y_mean - slope * (x - x_mean)) ** 2 for x, y in points) / (count - 2)
    together = max(1.0, apart * (count - 1) / (points[-1][0] - points[0][0]))
    return slope, (rest * together / spread) ** 0.5


def quarters(values):
    """The medians of the second and of the last quarter."""
    part = max(1, len(values) // 4)
    return median(values[part : 2 * part] or values), median(values[-part:])
