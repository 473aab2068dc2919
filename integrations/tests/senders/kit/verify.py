"""Verifies signed requests like a platform, with the http-message-signatures library (RFC 9421).

Reads JSON lines: {"method", "url", "headers": [[name, value]], "body", "keys": [JWK], "covers": [component]}.
Prints one line for each request: null if the request is valid, or the reason why it is not.
"""

import base64
import hashlib
import json
import sys

from cryptography.hazmat.primitives.asymmetric import ec
from http_message_signatures import (
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    algorithms,
)


def number(text):
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


class Profile(HTTPSignatureKeyResolver):
    """The keys that a profile publishes."""

    def __init__(self, keys):
        self.keys = {key["kid"]: key for key in keys}

    def resolve_public_key(self, key_id):
        key = self.keys[key_id]
        assert (key["kty"], key["crv"], key["use"], key["alg"]) == ("EC", "P-256", "sig", "ES256"), key
        return ec.EllipticCurvePublicNumbers(number(key["x"]), number(key["y"]), ec.SECP256R1()).public_key()


class Request:
    def __init__(self, question):
        self.method = question["method"]
        self.url = question["url"]
        self.headers = dict(question["headers"])


def verify(question):
    request = Request(question)
    body = question["body"].encode()
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ECDSA_P256_SHA256, key_resolver=Profile(question["keys"]))
    verifier.verify(request, max_age=None, require_components=question["covers"], body=body)
    # The digest is compared again, because the library accepts other algorithms too.
    expected = "sha-256=:" + base64.b64encode(hashlib.sha256(body).digest()).decode() + ":"
    assert {name.lower(): value for name, value in question["headers"]}["content-digest"] == expected, "other digest"


for line in sys.stdin:
    try:
        verify(json.loads(line))
        answer = None
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    print(json.dumps(answer), flush=True)
