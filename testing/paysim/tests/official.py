"""Runs Stripe's official library against the simulator. Fails with an exception if a result is wrong.

Usage: python official.py URL KEY WEBHOOK_PORT. Prints the id of a paid intent.

Before the start, the caller sets up the simulator: it sends events to WEBHOOK_PORT, answers the first list of refunds
with 429, and answers the first two cancellations with 409 (key in use).
"""

import http.server
import queue
import sys
import threading

import stripe

URL, KEY, WEBHOOK_PORT = sys.argv[1:]
SECRETS = ["whsec_new", "whsec_old"]
client = stripe.StripeClient(KEY, base_addresses={"api": URL}, max_network_retries=0)
intents, refunds = client.v1.payment_intents, client.v1.refunds
BASKET = {"amount": 1200, "currency": "gbp", "metadata": {"attempt_id": "a-1"}}


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


def receive_webhooks():
    """Starts a server for events. Returns a queue with the payload and the signature of each event that arrives."""
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

    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(WEBHOOK_PORT)), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return received


def create_confirm_and_replay():
    intent = intents.create({**BASKET, "payment_method": "pm_card_visa"}, keyed("create"))
    assert isinstance(intent, stripe.PaymentIntent) and intent.status == "requires_confirmation", intent
    again = intents.create({**BASKET, "payment_method": "pm_card_visa"}, keyed("create"))
    assert again.id == intent.id and again.last_response.headers["Idempotent-Replayed"] == "true"
    paid = intents.confirm(intent.id, {}, keyed("confirm"))
    assert (paid.status, paid.amount_received) == ("succeeded", 1200), paid
    assert intents.confirm(intent.id, {}, keyed("confirm")).status == "succeeded"
    other = {**BASKET, "amount": 1300}
    refused(stripe.IdempotencyError, lambda: intents.create(other, keyed("create")), http_status=400)
    closed = refused(
        stripe.InvalidRequestError, lambda: intents.confirm(intent.id), code="payment_intent_unexpected_state"
    )
    assert closed.error.payment_intent.status == "succeeded"
    return paid


def find(paid):
    assert intents.retrieve(paid.id).to_dict() == intents.confirm(paid.id, {}, keyed("confirm")).to_dict()
    found = intents.search({"query": "metadata['attempt_id']:'a-1'"})
    assert [intent.id for intent in found.data] == [paid.id], found


def decline():
    intent = intents.create({**BASKET, "payment_method": "pm_card_chargeDeclinedInsufficientFunds"})
    error = refused(stripe.CardError, lambda: intents.confirm(intent.id), code="card_declined", http_status=402)
    assert error.error.decline_code == "insufficient_funds"
    assert error.error.payment_intent.status == "requires_payment_method"


def refund(paid):
    part = refunds.create({"payment_intent": paid.id, "amount": 500, "metadata": {"why": "stale"}}, keyed("refund"))
    assert isinstance(part, stripe.Refund) and (part.status, part.amount) == ("succeeded", 500)
    too_much = {"payment_intent": paid.id, "amount": 701}
    refused(stripe.InvalidRequestError, lambda: refunds.create(too_much), param="amount", http_status=400)
    assert refunds.create({"payment_intent": paid.id}).amount == 700
    rest = {"payment_intent": paid.id}
    refused(stripe.InvalidRequestError, lambda: refunds.create(rest), code="charge_already_refunded")
    refused(stripe.RateLimitError, lambda: refunds.list({"payment_intent": paid.id}), http_status=429)
    first = refunds.list({"payment_intent": paid.id, "limit": 1})
    assert first.has_more
    assert [refund.amount for refund in first.auto_paging_iter()] == [700, 500]


def hold_capture_and_cancel():
    held = {**BASKET, "payment_method": "pm_card_visa", "capture_method": "manual"}
    first, second = (intents.confirm(intents.create(held).id) for _ in range(2))
    assert (first.status, first.amount_capturable) == ("requires_capture", 1200)
    assert intents.capture(first.id, {"amount_to_capture": 1000}).amount_received == 1000
    # The library repeats a call by itself if the response is 409 (key in use).
    patient = stripe.StripeClient(KEY, base_addresses={"api": URL}, max_network_retries=2).v1.payment_intents
    gone = patient.cancel(second.id, {"cancellation_reason": "abandoned"}, keyed("cancel"))
    assert (gone.status, gone.cancellation_reason) == ("canceled", "abandoned") and gone.canceled_at
    refused(stripe.InvalidRequestError, lambda: intents.capture(second.id), code="payment_intent_unexpected_state")
    waiting = intents.confirm(intents.create({**BASKET, "payment_method": "pm_card_threeDSecure2Required"}).id)
    assert (waiting.status, waiting.next_action.type) == ("requires_action", "use_stripe_sdk")


def wrong_in_other_ways():
    stranger = stripe.StripeClient("sk_test_other", base_addresses={"api": URL}, max_network_retries=0)
    refused(stripe.AuthenticationError, lambda: stranger.v1.payment_intents.retrieve("pi_none"), http_status=401)
    refused(stripe.InvalidRequestError, lambda: intents.retrieve("pi_none"), code="resource_missing", http_status=404)
    broken = intents.create({**BASKET, "payment_method": "pm_sim_charge_then_500"})
    refused(stripe.APIError, lambda: intents.confirm(broken.id), http_status=500)


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
            raise AssertionError("a forged event was accepted")
    assert isinstance(objects["payment_intent.succeeded"], stripe.PaymentIntent)
    assert objects["payment_intent.payment_failed"].last_payment_error.code == "card_declined"
    # Events are sent concurrently, so they may arrive in any order.
    assert refunded == {500, 1200}, refunded


received = receive_webhooks()
paid = create_confirm_and_replay()
find(paid)
decline()
refund(paid)
events(received)
hold_capture_and_cancel()
wrong_in_other_ways()
print(paid.id)
