"""Validates responses of the shop with the official models of the protocol (ucp-sdk).

Reads JSON lines: {"kind": ..., "from": ..., "body": ...}. An empty line ends a batch. For each batch it prints one line, a
JSON list of complaints. As in the official conformance suite, a checkout is the checkout model with the extensions that
the shop advertises. It also checks the rules of totals that JSON Schema cannot express.
"""

import json
import sys

from pydantic import BaseModel, ConfigDict
from ucp_sdk.models.schemas import ucp
from ucp_sdk.models.schemas.shopping import buyer_consent, discount, fulfillment, order
from ucp_sdk.models.schemas.shopping.types import error_response


class Checkout(fulfillment.Checkout, discount.Checkout, buyer_consent.Checkout):
    """A checkout with every extension of the shop. Its `ucp` is the one of checkouts, which is stricter."""

    ucp: ucp.ResponseCheckoutSchema


class Order(order.Order):
    ucp: ucp.ResponseOrderSchema


class Error(error_response.ErrorResponse):
    ucp: ucp.Error


class Profile(BaseModel):
    model_config = ConfigDict(extra="allow")
    ucp: ucp.BusinessSchema


class Problem(BaseModel):
    """A protocol error. No model of it is published; the specification requires these two members."""

    model_config = ConfigDict(extra="allow")
    code: str
    content: str


MODELS = {"checkout": Checkout, "order": Order, "error": Error, "profile": Profile, "problem": Problem}


def check_totals(totals, where):
    of = lambda wanted: [total["amount"] for total in totals if total["type"] == wanted]
    assert len(of("subtotal")) == 1, f"{where}: not exactly one subtotal"
    assert len(of("total")) == 1, f"{where}: not exactly one total"
    parts = sum(total["amount"] for total in totals if total["type"] != "total")
    assert parts == of("total")[0], f"{where}: {parts} is not the total {of('total')[0]}"
    assert of("total")[0] >= 0, f"{where}: a total below zero"
    for total in totals:
        negative = total["type"] in ("discount", "items_discount")
        assert (total["amount"] < 0) if negative else (total["amount"] >= 0), f"{where}: {total}"


def check_document(body):
    lines = body["line_items"]
    check_totals(body["totals"], "$.totals")
    for index, line in enumerate(lines):
        check_totals(line["totals"], f"$.line_items[{index}].totals")
    amount = lambda totals, kind: sum(total["amount"] for total in totals if total["type"] == kind)
    for kind in ("subtotal", "items_discount"):
        of_lines = sum(amount(line["totals"], kind) for line in lines)
        assert amount(body["totals"], kind) == of_lines, f"$.totals {kind}: the lines have {of_lines}"
    applied = (body.get("discounts") or {}).get("applied") or []
    for index, one in enumerate(applied):
        allocated = [allocation["amount"] for allocation in one.get("allocations") or []]
        assert not allocated or sum(allocated) == one["amount"], f"$.discounts.applied[{index}]: allocations"
    if applied:
        taken = -amount(body["totals"], "discount") - amount(body["totals"], "items_discount")
        assert sum(one["amount"] for one in applied) == taken, "$.discounts.applied: differs from the discounts in the totals"
    if body.get("status") in ("completed", "canceled"):
        assert "continue_url" not in body, "$.continue_url: on a checkout that has ended"
    if body.get("status") == "requires_escalation":
        assert "continue_url" in body, "$.continue_url: missing where the buyer must act"


def complaints(batch):
    for entry in batch:
        try:
            MODELS[entry["kind"]].model_validate(entry["body"])
            if entry["kind"] in ("checkout", "order"):
                check_document(entry["body"])
        except Exception as error:  # Every exception means that the response is wrong.
            yield f"{entry['from']} ({entry['kind']}): {error}\n{json.dumps(entry['body'])}"


def main():
    batch = []
    for line in sys.stdin:
        if line.strip():
            batch.append(json.loads(line))
        else:
            print(json.dumps(list(complaints(batch))), flush=True)
            batch = []


main()
