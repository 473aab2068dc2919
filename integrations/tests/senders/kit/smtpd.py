"""A mail server (aiosmtpd) with a choice of TLS and replies. It prints what it receives.

Arguments: the kind of TLS ("none", "starttls", "implicit"), whether it requires a login ("login", "open"), and a reply to
one SMTP command, such as "RCPT 550 5.1.1 ...", or "" for the usual replies. The first line that it prints has its port and
its certificate. Each further line is one email message, as the mail parser of Python reads it.
"""

import asyncio
import datetime
import email
import email.policy
import ipaddress
import json
import logging
import ssl
import sys
import tempfile
import warnings

from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


# aiosmtpd warns of broken connections and of logins without TLS. The tests cause both on purpose.
logging.disable()
warnings.simplefilter("ignore")


def say(value):
    print(json.dumps(value), flush=True)


def signed(name, key, issuer, issuer_key, *extensions):
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def certificate():
    """A TLS context with a certificate for 127.0.0.1, and the new certificate authority that signed it."""
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = signed("authority", authority, "authority", authority, x509.BasicConstraints(ca=True, path_length=0))
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    purpose = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH])
    leaf = signed("relay", key, "authority", authority, names, purpose)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(leaf + secret)
        file.flush()
        context.load_cert_chain(file.name)
    return root.decode(), context


class Handler:
    def __init__(self, answer):
        self.verb, _, self.answer = answer.partition(" ")

    async def handle_MAIL(self, server, session, envelope, address, options):
        envelope.mail_from = address
        return self.answer if self.verb == "MAIL" else "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.verb == "RCPT":
            return self.answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.verb == "DATA":
            return self.answer
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        say({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "is_encrypted": server.transport.get_extra_info("ssl_object") is not None,
            "login": session.auth_data.login.decode() if session.auth_data else None,
            "headers": [[name, str(value)] for name, value in message.items()],
            "kind": message.get_content_type(),
            "parts": [[part.get_content_type(), part.get_content().replace("\r\n", "\n")] for part in message.iter_parts()],
            "defects": [str(defect) for part in message.walk() for defect in part.defects],
        })
        return "250 2.0.0 taken"


def authenticate(server, session, envelope, mechanism, data):
    is_known = (data.login, data.password) == (b"shop", b"relay word")
    return AuthResult(success=is_known, handled=False, auth_data=data)


async def main(tls, login, answer):
    pem, context = certificate()

    def connection():
        return SMTP(
            Handler(answer),
            hostname="relay.example",
            tls_context=context if tls == "starttls" else None,
            require_starttls=tls == "starttls",
            auth_required=login == "login",
            auth_require_tls=tls == "starttls",
            authenticator=authenticate,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(connection, "127.0.0.1", 0, ssl=context if tls == "implicit" else None)
    say({"port": server.sockets[0].getsockname()[1], "certificate": pem})
    # The parent process closes the standard input to stop the server.
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main(*sys.argv[1:]))
