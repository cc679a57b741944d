"""tests/lib/faults.py - every way a registry can misbehave, one small function each.

A fault is a function of an exchange (origin.Exchange): it changes `exchange.reply`, then sends it in
its own way, or ends the connection. Each maker below returns one:

    origin.misbehave(faults.cut(after=5000), kind="blob", times=1)

Waiting faults wait on an event which ends when the origin closes, so that no test outlives them.
"""
import gzip
import threading

WAIT_LIMIT_S = 45


class Gate:
    """Sends the first `after` bytes of the body, then waits for open()."""

    def __init__(self, after=0):
        self.after = after
        self.opened = threading.Event()
        self.reached = threading.Event()  # some exchange stands at the gate

    def open(self):
        self.opened.set()

    def __call__(self, exchange):
        body = exchange.reply.body
        exchange.send_head()
        exchange.send_body(body[:self.after])
        # A short body is complete by now: its connection may carry the next request.
        if self.after < len(body):
            self.reached.set()
            exchange.origin.wait(self.opened, WAIT_LIMIT_S)
            exchange.send_body(body[self.after:])


# ---- instead of an answer ----

def status(code, *headers, body=None):
    def fault(exchange):
        exchange.reply = exchange.origin.error_reply(code, headers, body)
        exchange.send()
    return fault


def close():
    """The connection ends before any header."""
    return lambda exchange: exchange.hang_up()


def reset():
    return lambda exchange: exchange.reset()


def hang(seconds=WAIT_LIMIT_S):
    """Takes the request and says nothing."""
    def fault(exchange):
        exchange.origin.wait(threading.Event(), seconds)
        exchange.hang_up()
    return fault


def garbage(data=b"\x15\x03\x01\x00\x02\x02\x28 what is this\r\n\r\n"):
    def fault(exchange):
        exchange.raw(data)
        exchange.hang_up()
    return fault


def html():
    """A captive portal: 200, and not what was asked for."""
    def fault(exchange):
        page = b"<html><body>Please log in to use this network.</body></html>"
        exchange.reply.status = 200
        exchange.reply.headers = [("Content-Type", "text/html"), ("Content-Length", len(page))]
        exchange.reply.body = page
        exchange.send()
    return fault


def too_many(retry_after=None):
    headers = [("Retry-After", retry_after)] if retry_after is not None else []
    return status(429, *headers)


def redirect(url_of, code=307):
    """url_of: a string, or a function of the request."""
    def fault(exchange):
        url = url_of(exchange.request) if callable(url_of) else url_of
        exchange.reply.status = code
        exchange.reply.headers = [("Location", url), ("Content-Length", 0)]
        exchange.reply.body = b""
        exchange.send()
    return fault


# ---- the right answer, badly sent ----

def cut(after, how="close", framing="length"):
    """The body ends after so many bytes of it, against its Content-Length or in a chunk."""
    def fault(exchange):
        if framing == "chunked":
            exchange.reply.set("Content-Length", None)
            exchange.reply.set("Transfer-Encoding", "chunked")
        exchange.send_head()
        part = exchange.reply.body[:after]
        if framing == "chunked":
            exchange.raw(b"%x\r\n" % (len(part) + 1000))
        exchange.send_body(part)
        (exchange.reset if how == "reset" else exchange.hang_up)()
    return fault


def stall(after, seconds=WAIT_LIMIT_S):
    """So many bytes, then silence on an open connection, then a close."""
    def fault(exchange):
        exchange.send_head()
        exchange.send_body(exchange.reply.body[:after])
        if after < len(exchange.reply.body):
            exchange.origin.wait(threading.Event(), seconds)
            exchange.hang_up()
    return fault


def trickle(bytes_per_s, piece=None):
    """The whole body, slowly."""
    piece = piece or max(1, bytes_per_s // 10)

    def fault(exchange):
        exchange.send_head()
        body = exchange.reply.body
        for offset in range(0, len(body), piece):
            exchange.send_body(body[offset:offset + piece])
            if exchange.origin.wait(threading.Event(), piece / bytes_per_s):
                return
    return fault


def delay_headers(seconds):
    def fault(exchange):
        exchange.origin.wait(threading.Event(), seconds)
        exchange.send()
    return fault


def short_body(length):
    """Fewer bytes than there are, under a Content-Length that fits them."""
    def fault(exchange):
        exchange.reply.body = exchange.reply.body[:length]
        exchange.reply.set("Content-Length", len(exchange.reply.body))
        exchange.send()
    return fault


def corrupt(at=-1):
    """One byte of the body is another one."""
    def fault(exchange):
        body = bytearray(exchange.reply.body)
        if body:
            body[at if -len(body) <= at < len(body) else -1] ^= 0xFF
        exchange.reply.body = bytes(body)
        exchange.send()
    return fault


def extra_bytes(count=100):
    """More bytes than Content-Length says, then a close."""
    def fault(exchange):
        exchange.send_head()
        exchange.send_body(exchange.reply.body)
        exchange.raw(b"x" * count)
        exchange.hang_up()
    return fault


def header(name, value):
    """A header with another value; None leaves it out."""
    def fault(exchange):
        exchange.reply.set(name, value)
        exchange.send()
    return fault


def wrong_digest_header():
    return header("Docker-Content-Digest", "sha256:" + "0" * 64)


def chunked():
    def fault(exchange):
        exchange.reply.set("Content-Length", None)
        exchange.reply.set("Transfer-Encoding", "chunked")
        exchange.send_head()
        body = exchange.reply.body
        for offset in range(0, len(body), 10_000):
            part = body[offset:offset + 10_000]
            exchange.raw(b"%x\r\n" % len(part))
            exchange.send_body(part)
            exchange.raw(b"\r\n")
        exchange.raw(b"0\r\n\r\n")
    return fault


def close_delimited():
    def fault(exchange):
        exchange.reply.set("Content-Length", None)
        exchange.reply.set("Connection", "close")
        exchange.send()
        exchange.hang_up()
    return fault


def gzip_encoded():
    """A front end that compresses although nobody asked."""
    def fault(exchange):
        exchange.reply.body = gzip.compress(exchange.reply.body)
        exchange.reply.set("Content-Encoding", "gzip")
        exchange.reply.set("Content-Length", len(exchange.reply.body))
        exchange.send()
    return fault


# ---- Range ----

def ignore_range():
    """200 and the whole blob for a request with Range."""
    def fault(exchange):
        exchange.reply = exchange.origin.reply_to(exchange.request, ignore_range=True)
        exchange.send()
    return fault


def refuse_range(code=416):
    """A Range request gets this status, any other its answer. As docker-registry 2.8.2 does, the
    refusal announces the length of the blob and sends a short text."""
    def fault(exchange):
        if exchange.request.header("range") is None:
            exchange.send()
            return
        whole = exchange.origin.reply_to(exchange.request, ignore_range=True)
        exchange.reply.status = code
        exchange.reply.headers = [("Content-Type", "application/json"),
                                  ("Content-Length", len(whole.body))]
        exchange.reply.body = b'{"errors":[{"code":"UNKNOWN"}]}\r\n'
        exchange.send_head()
        exchange.raw(exchange.reply.body)
        exchange.hang_up()
    return fault


def wrong_content_range(shift=1):
    """206 with bytes that are not those of its Content-Range."""
    def fault(exchange):
        value = exchange.reply.get("Content-Range")
        if value is not None:
            span, size = value.removeprefix("bytes ").split("/")
            first, last = map(int, span.split("-"))
            exchange.reply.set("Content-Range", f"bytes {first + shift}-{last + shift}/{size}")
        exchange.send()
    return fault
