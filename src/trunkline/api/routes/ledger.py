"""Whether every reading is accounted for."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from trunkline.api.accounts import account
from trunkline.api.answers import answer
from trunkline.api.models import Ledger
from trunkline.api.problem import bad_request
from trunkline.api.services import ServicesDep
from trunkline.api.values import TimeText, parse_time

router = APIRouter(tags=["trust"])


@router.get("/ledger", summary="The balance of readings", response_model=Ledger)
def ledger(
    found: ServicesDep,
    start: Annotated[TimeText | None, Query(alias="from", description="first hour; all when missing")] = None,
    end: Annotated[TimeText | None, Query(alias="to", description="hours before this time; all when missing")] = None,
) -> Response:
    """Balance the ledger, by gateway, source, class and hour."""
    since = None if start is None else parse_time(start, "from")
    to = None if end is None else parse_time(end, "to")
    if since is not None and to is not None and since >= to:
        raise bad_request("'from' must be before 'to'.", "Swap them, or give a longer span.")
    return answer(account(found, since, to))
