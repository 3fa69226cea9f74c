"""The newest readings."""

from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Query, Response

from trunkline.api import values
from trunkline.api.answers import answer
from trunkline.api.models import Latest, QualityCounts
from trunkline.api.problem import bad_request
from trunkline.api.services import ServicesDep
from trunkline.api.values import PathText
from trunkline.model import quality

router = APIRouter(tags=["live"])


@router.get("/latest", summary="Newest readings", response_model=Latest)
async def latest(
    found: ServicesDep,
    tag: Annotated[list[PathText] | None, Query(max_length=500, description="tags, given one by one")] = None,
    under: Annotated[PathText | None, Query(description="every tag at or below this path")] = None,
) -> Response:
    """Return the newest reading of tags: from memory, also while the historian is away."""
    cache = found.hub.cache
    if tag is not None:
        known = [value for name in dict.fromkeys(tag) if (value := cache.get(name)) is not None]
    elif under is not None:
        known = sorted(cache.under(under))
    else:
        raise bad_request("Neither 'tag' nor 'under' is given.", "Name tags with 'tag', or a part of the tree with 'under'.")
    return answer({"values": [values.live(*value) for value in known]})


@router.get("/quality", summary="Tags by quality", response_model=QualityCounts)
async def qualities(
    found: ServicesDep, under: Annotated[PathText, Query(description="only tags at or below this path; empty for all")] = ""
) -> Response:
    """Count the newest readings by quality: from memory, the worst first."""
    counted = Counter(value.quality for value in found.hub.cache.under(under))
    ordered = sorted(counted.items(), key=lambda one: (-quality.severity(one[0]), -one[1], one[0]))
    counts = [{**values.quality_words(code), "tags": tags} for code, tags in ordered]
    return answer({"tags": counted.total(), "counts": counts})
