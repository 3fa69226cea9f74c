"""Which tags there are."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from trunkline.api.answers import answer
from trunkline.api.models import TagPage, Tree
from trunkline.api.services import ServicesDep
from trunkline.api.values import PathText, WordsText

router = APIRouter(tags=["tags"])


@router.get("/tags", summary="Find tags", response_model=TagPage)
def tags(
    found: ServicesDep,
    search: Annotated[WordsText, Query(description="words that path or description must contain, in any case")] = "",
    under: Annotated[PathText, Query(description="only tags at or below this path")] = "",
    limit: Annotated[int, Query(ge=1, le=5000)] = 500,
    cursor: Annotated[PathText, Query(description="'next' of the page before")] = "",
) -> Response:
    """Return tags in the order of their paths."""
    page = found.reader.tags(search=search, under=under, limit=limit, cursor=cursor)
    rows = [
        {
            "tag": tag.tag,
            "kind": tag.kind.name.lower(),
            "unit": tag.unit,
            "description": tag.description,
            "min": tag.min,
            "max": tag.max,
            "gateway": tag.gateway,
            "source": tag.source,
        }
        for tag in page.tags
    ]
    return answer({"tags": rows, "next": page.next, "total": page.total})


@router.get("/tree", summary="One level of the tag tree", response_model=Tree)
def tree(found: ServicesDep, under: Annotated[PathText, Query(description="whose children; empty for the top")] = "") -> Response:
    """Return the children of a path, by name."""
    nodes = [{"name": node.name, "path": node.path, "branch": node.branch, "tags": node.tags} for node in found.reader.tree(under)]
    return answer({"nodes": nodes})
