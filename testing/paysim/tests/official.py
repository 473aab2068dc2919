"""Runs Stripe's official library against the simulator. Fails with an exception if a result is wrong.

Usage: python official.py URL KEY
"""

import http.server
import json
import queue
import sys
import threading
import urllib.request

import stripe

URL, KEY = sys.argv[1:]
SECRETS = ["whsec_new", "whsec_old"]
client = stripe.StripeClient(KEY, base_addresses={"api": URL}, max_network_retries=0)
intents, refunds = client.v1.payment_intents, client.v1.refunds
BASKET = {"amount": 1200, "currency": "gbp", "payment_method_types": ["card"], "metadata": {"attempt_id": "a-1"}}


def sim(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + "/_sim/" + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def keyed(key):
    return {"idempotency_key": key}


def refused(kind, call, **expected):
    try:
        call()
    except stripe.StripeError as error:
        assert type(error) is kind, (type(error), str(error))
        for name, value in expected.items():
            assert getattr(error, name) == value, (name, getattr(error, name))
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def webhooks():
    """A queue of the payload and the signature of each delivery."""
    received = queue.Queue()

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            payload = self.rfile.read(int(self.headers["Content-Length"]))
            received.put((payload, self.headers["Stripe-Signature"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sim("webhooks", {"url": f"http://127.0.0.1:{server.server_port}/", "secrets": SECRETS})
    return received


def create_confirm_and_replay():
    intent = intents.create({**BASKET, "payment_method": "pm_card_visa"}, keyed("create"))
    assert isinstance(intent, stripe.PaymentIntent) and intent.status == "requires_confirmation", intent
    again = intents.create({**BASKET, "payment_method": "pm_card_visa"}, keyed("create"))
    assert again.id == intent.id and again.last_response.headers["Idempotent-Replayed"] == "true"
    paid = intents.confirm(intent.id, {}, keyed("confirm"))
    assert (paid.status, paid.amount_received) == ("succeeded", 1200), paid
    assert intents.confirm(intent.id, {}, keyed("confirm")).status == "succeeded"
    refused(stripe.IdempotencyError, lambda: intents.create({**BASKET, "amount": 1300}, keyed("create")), http_status=400)
    closed = refused(
        stripe.InvalidRequestError, lambda: intents.confirm(intent.id), code="payment_intent_unexpected_state"
    )
    assert closed.error.payment_intent.status == "succeeded"
    return paid


def find(paid):
    assert intents.retrieve(paid.id).to_dict() == intents.confirm(paid.id, {}, keyed("confirm")).to_dict()
    found = intents.search({"query": "metadata['attempt_id']:'a-1'"})
    assert [intent.id for intent in found.data] == [paid.id], found
    for number in range(3):
        intents.create({**BASKET, "metadata": {"number": str(number)}})
    listed = intents.list({"limit": 2, "created": {"gte": paid.created}})
    assert len(listed.data) == 2 and listed.has_more
    assert [intent.id for intent in listed.auto_paging_iter()][-1] == paid.id


def decline():
    intent = intents.create({**BASKET, "payment_method": "pm_card_chargeDeclinedInsufficientFunds"})
    error = refused(stripe.CardError, lambda: intents.confirm(intent.id), code="card_declined", http_status=402)
    assert error.error.decline_code == "insufficient_funds"
    assert error.error.payment_intent.status == "requires_payment_method"
    at_once = {**BASKET, "payment_method": "pm_card_visa_chargeDeclined", "confirm": True}
    assert refused(stripe.CardError, lambda: intents.create(at_once)).error.payment_intent.id.startswith("pi_")


def hold_capture_and_cancel():
    held = {**BASKET, "payment_method": "pm_card_visa", "confirm": True, "capture_method": "manual"}
    first, second = intents.create(held), intents.create(held)
    assert (first.status, first.amount_capturable) == ("requires_capture", 1200)
    assert intents.capture(first.id, {"amount_to_capture": 1000}).amount_received == 1000
    gone = intents.cancel(second.id, {"cancellation_reason": "abandoned"})
    assert (gone.status, gone.cancellation_reason) == ("canceled", "abandoned") and gone.canceled_at
    refused(stripe.InvalidRequestError, lambda: intents.capture(second.id), code="payment_intent_unexpected_state")


def ask_the_buyer():
    automatic = {"amount": 1200, "currency": "gbp", "payment_method": "pm_card_threeDSecure2Required", "confirm": True}
    refused(stripe.InvalidRequestError, lambda: intents.create(automatic), param="return_url")
    waiting = intents.create({**automatic, "return_url": "https://shop.example/back"})
    assert (waiting.status, waiting.next_action.type) == ("requires_action", "redirect_to_url")
    never = {"automatic_payment_methods": {"enabled": True, "allow_redirects": "never"}}
    waiting = intents.create({**automatic, **never})
    assert waiting.next_action.type == "use_stripe_sdk"
    assert intents.cancel(waiting.id).status == "canceled"


def refund(paid):
    part = refunds.create({"payment_intent": paid.id, "amount": 500, "metadata": {"why": "stale"}}, keyed("refund"))
    assert isinstance(part, stripe.Refund) and (part.status, part.amount) == ("succeeded", 500)
    assert refunds.retrieve(part.id).metadata["why"] == "stale"
    too_much = {"payment_intent": paid.id, "amount": 701}
    refused(stripe.InvalidRequestError, lambda: refunds.create(too_much), param="amount", http_status=400)
    assert refunds.create({"payment_intent": paid.id}).amount == 700
    all_of_it = {"payment_intent": paid.id}
    refused(stripe.InvalidRequestError, lambda: refunds.create(all_of_it), code="charge_already_refunded")
    assert [refund.amount for refund in refunds.list({"payment_intent": paid.id})] == [700, 500]


def wrong_in_other_ways():
    stranger = stripe.StripeClient("sk_test_other", base_addresses={"api": URL}, max_network_retries=0)
    refused(stripe.AuthenticationError, lambda: stranger.v1.payment_intents.list(), http_status=401)
    refused(stripe.InvalidRequestError, lambda: intents.retrieve("pi_none"), code="resource_missing", http_status=404)
    sim("faults", {"next": 1, "fault": "rate_limited", "retry_after_seconds": 1})
    refused(stripe.RateLimitError, lambda: intents.list(), http_status=429)
    broken = {**BASKET, "payment_method": "pm_sim_charge_then_500", "confirm": True}
    refused(stripe.APIError, lambda: intents.create(broken), http_status=500)
    # The library repeats a request whose key is in use. Its caller does not see that.
    patient = stripe.StripeClient(KEY, base_addresses={"api": URL}, max_network_retries=2)
    sim("faults", {"operation": "intent.create", "next": 2, "fault": "in_use"})
    assert patient.v1.payment_intents.create(BASKET, keyed("patient")).status == "requires_payment_method"


def events(received):
    objects = {}
    refunded = set()
    for _ in range(4):
        payload, signature = received.get(timeout=20)
        for secret in SECRETS:
            event = stripe.Webhook.construct_event(payload, signature, secret)
        objects[event.type] = event.data.object
        if event.type == "charge.refunded":
            refunded.add(event.data.object.amount_refunded)
        for broken in [(payload + b" ", signature, SECRETS[0]), (payload, signature, "whsec_other")]:
            try:
                stripe.Webhook.construct_event(*broken)
            except stripe.SignatureVerificationError:
                continue
            raise AssertionError("a forged event was taken")
    assert isinstance(objects["payment_intent.succeeded"], stripe.PaymentIntent)
    assert objects["payment_intent.payment_failed"].last_payment_error.code == "card_declined"
    # The order of two concurrent deliveries is undefined.
    assert refunded == {500, 1200}, refunded


def judged(paid):
    assert sim("ledger?by=attempt_id")["totals"]["captured"] > 0
    moved = [(entry["kind"], entry["amount"]) for entry in sim("ledger")["entries"] if entry["intent"] == paid.id]
    assert moved == [("authorised", 1200), ("captured", 1200), ("refunded", 500), ("refunded", 700)], moved


received = webhooks()
paid = create_confirm_and_replay()
find(paid)
declined = {**BASKET, "payment_method": "pm_card_chargeDeclined", "confirm": True}
refused(stripe.CardError, lambda: intents.create(declined))
refund(paid)
events(received)
decline()
hold_capture_and_cancel()
ask_the_buyer()
wrong_in_other_ways()
judged(paid)
