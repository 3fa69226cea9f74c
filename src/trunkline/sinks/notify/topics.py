"""The topics of notifications in a site's log: the one place that names them."""

from trunkline.log.topics import Layout
from trunkline.model.reading import Category
from trunkline.sinks.notify.deliver import Topics


def topics_of(layout: Layout) -> Topics:
    """Return the topics that the deliverer of a site reads and writes."""
    return Topics(layout.notifications, layout.deliveries, layout.topic(Category.EVENT, "raw"))
