"""tests/lib/fakeswarm.py - a supernode and peers made up in Python, with the real keys.

    key = cluster.Key()
    with FakeSupernode(key) as supernode, FakePeer(key, supernode) as peer:
        supernode.add(data); peer.add(data)
        ... start a node with --supernode supernode.url --cluster-key-file ...; pull ...
        supernode.hellos, supernode.exchanges, supernode.reports("finished"), peer.requests

Written from docs/protocol.md alone, so that what the daemons say to one another is checked by
somebody who shares no code with them. A fault is a function of the handler; True = it has answered.
"""
import hashlib
import json
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lib import cluster
from lib.image import digest_of

PIECE_MIN = cluster.choose_piece_size(0)
HELD_S = 0.4          # an exchange is answered after so long, whatever there is to say
SLOTS = 4
INLINE_MAX = 65536


# ---- what supernode and peer share: a server that has pieces ----

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def host(self):
        return self.server.host

    def log_message(self, *_):
        pass

    def reply(self, status, body=b"", headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self):
        self.close_connection = True

    def do_GET(self):
        if self.is_served():
            self.host.serve_piece(self)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.is_served():
            self.host.serve_message(self, body)

    def is_served(self):
        """A connection outlives its server; a host that was closed says nothing more on it."""
        if self.host.server is not self.server:
            self.hang_up()
            return False
        return True

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:  # the node has gone, as it may
            self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        self.host.errors.append(client_address)


class PieceHost:
    """Serves the pieces of its blobs to whoever shows a ticket."""

    def __init__(self, key, site="default"):
        self.key = key
        self.site = site
        self.blobs = {}
        self.requests = []            # (digest, first, last) of pieces
        self.piece_fault = None
        self.errors = []
        self.closing = threading.Event()
        self.server = None
        self.port = 0

    def __enter__(self):
        self.open()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.close()

    def open(self):
        self.server = Server(("127.0.0.1", self.port), Handler, bind_and_activate=False)
        self.server.allow_reuse_address = True
        self.server.host = self
        self.server.server_bind()
        self.server.server_activate()
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"http://{self.address}"

    def add(self, data):
        digest = digest_of(data)
        self.blobs[digest] = data
        return digest

    def serve_message(self, handler, body):
        handler.reply(404)

    def serve_piece(self, handler):
        digest = handler.path.removeprefix("/v1/blobs/")
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers.get("Range", ""))
        if not self.key.check_ticket(handler.headers.get("Darter-Ticket"), digest, self.site):
            handler.reply(401)
            return
        if digest not in self.blobs or not span:
            handler.reply(404)
            return
        first, last = int(span.group(1)), int(span.group(2))
        self.requests.append((digest, first, last))
        data = self.blobs[digest]
        body = data[first:last + 1]
        if self.piece_fault is not None and self.piece_fault(handler, body):
            return
        handler.reply(206, body, {"Content-Range": f"bytes {first}-{last}/{len(data)}"})

    def wait(self, seconds):
        """For faults: ends early when the test is over."""
        self.closing.wait(seconds)


class FakePeer(PieceHost):
    """A node that another node is sent to."""
    ids = iter(range(1, 1000))

    def __init__(self, key, supernode=None, site="default"):
        super().__init__(key, site)
        self.id = f"{next(FakePeer.ids):016x}"
        if supernode is not None:
            supernode.peers.append(self)


class Session:
    def __init__(self, exchange, size):
        self.join = exchange["join"]
        self.size = size
        self.piece_size = cluster.choose_piece_size(size)
        self.n = -(-size // self.piece_size)
        self.latest = 0
        self.given = {}           # piece -> id of the source it was last assigned to
        self.tried = set()        # (piece, id) that failed
        self.takes_inline = self.join.get("inline", False)
        have = self.join.get("have")
        self.have = cluster.pieces_of(have, self.n) if have else set()


class FakeSupernode(PieceHost):
    """Sends a node to its peers first, each piece to the next of them, and to itself otherwise."""
    id = "5eed5eed5eed5eed"

    def __init__(self, key, name="supernode-1", site="default"):
        super().__init__(key, site)
        self.name = name
        self.peers = []
        self.hellos = []          # decoded, in order
        self.exchanges = []
        self.refused = []         # messages that were not authentic
        self.sessions = {}
        self.lock = threading.Condition()
        self.hello_fault = self.exchange_fault = None
        self.hello_more = {}      # members of the answer to a hello
        self.reply_more = {}      # and to an exchange
        self.sums_of = None       # digest -> data whose sums are told instead
        self.tells_sums = True
        self.inline = None        # data of a small blob -> members of its answer
        self.interval_ms = 1000

    def forget_all(self):
        with self.lock:
            self.sessions.clear()

    def reports(self, kind):
        return [row for exchange in list(self.exchanges) for row in exchange.get(kind, [])]

    @property
    def joins(self):
        return [exchange["join"] for exchange in list(self.exchanges) if "join" in exchange]

    def answer(self, handler, nonce, document):
        body = json.dumps(document).encode()
        handler.reply(200, body, dict(self.key.sign_reply(nonce, body)))

    def serve_message(self, handler, body):
        nonce = self.key.check_request(handler.headers.get("Darter-Auth"), handler.path, body)
        if nonce is None:
            self.refused.append((handler.path, body))
            handler.reply(401)
            return
        message = json.loads(body)
        is_hello = handler.path == "/v1/hello"
        (self.hellos if is_hello else self.exchanges).append(message)
        fault = self.hello_fault if is_hello else self.exchange_fault
        handler.nonce = nonce
        handler.message = message
        if fault is not None and fault(handler):
            return
        if is_hello:
            self.answer(handler, nonce, {
                "v": 1, "supernode": self.name, "site": self.site,
                "interval_ms": self.interval_ms,
                "wants_full": len(self.hellos) == 1, **self.hello_more})
        else:
            self.answer(handler, nonce, self.direct(message))

    # ---- directing ----

    def source_for(self, session, piece):
        able = [peer for peer in self.peers if (piece, peer.id) not in session.tried]
        if able:
            peer = able[piece % len(able)]
            return peer.id, peer.address, False
        return self.id, "", True

    def orders(self, session, digest):
        data = (self.sums_of or self.blobs)[digest]
        rows = []
        for piece in range(session.n):
            if len(session.given) >= SLOTS:
                break
            if piece in session.have or piece in session.given:
                continue
            source, address, is_seed = self.source_for(session, piece)
            session.given[piece] = source
            start = piece * session.piece_size
            digest_hex = hashlib.sha256(data[start:start + session.piece_size]).hexdigest()
            row = [piece, source, address, is_seed]
            rows.append(row + [digest_hex[:32]] if self.tells_sums else row)
        return rows

    def inline_of(self, session, digest, rows):
        """Beside the first answer that hands out all of a small blob; a second one is fetched."""
        data = self.blobs[digest]
        is_small = len(data) <= INLINE_MAX and len(rows) == 1 and rows[0][3]
        if self.inline is None or not is_small or not session.takes_inline:
            return {}
        session.takes_inline = False
        return self.inline(data)

    @staticmethod
    def learn(session, exchange):
        for piece, *_ in exchange.get("finished", []):
            session.have.add(piece)
            session.given.pop(piece, None)
        for piece, source, _ in exchange.get("failed", []):
            session.tried.add((piece, source))
            session.given.pop(piece, None)
        for piece in exchange.get("gained", []):
            session.have.add(piece)
            session.given.pop(piece, None)

    def direct(self, exchange):
        digest, number = exchange["digest"], exchange["seq"]
        known = {"v": 1, "seq": number}
        if digest not in self.blobs:
            return {**known, "state": "gone", "code": "ENOTFOUND", "reason": "no such blob"}
        with self.lock:
            if "join" in exchange:
                session = Session(exchange, len(self.blobs[digest]))
                self.sessions[exchange["session"]] = session
            session = self.sessions.get(exchange["session"])
            if session is None:
                return {**known, "state": "unknown"}
            self.learn(session, exchange)
            session.latest = max(session.latest, number)
            self.lock.notify_all()
            deadline = time.monotonic() + HELD_S
            rows = []
            while not exchange.get("leave"):
                rows = self.orders(session, digest)
                left = deadline - time.monotonic()
                if rows or session.latest > number or left <= 0:
                    break
                self.lock.wait(left)
            return {**known, "state": "open", "size": session.size,
                    "piece_size": session.piece_size, "assignments": rows,
                    "ticket": self.key.ticket(digest, self.site),
                    **self.inline_of(session, digest, rows), **self.reply_more}


# ---- faults of messages ----

def silent(handler):
    """Says nothing, and keeps the connection."""
    handler.host.wait(30)
    handler.hang_up()
    return True


def slow(handler):
    """A byte a second."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(30):
        handler.wfile.write(b" ")
        handler.host.wait(1)
        if handler.host.closing.is_set():
            break
    handler.hang_up()
    return True


def closes(handler):
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.hang_up()
    return True


def status(code):
    def fault(handler):
        handler.reply(code, b"no")
        return True
    return fault


def says(body):
    """Authentic, and not what was agreed."""
    def fault(handler):
        raw = body(handler.message) if callable(body) else body
        raw = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
        handler.reply(200, raw, dict(handler.host.key.sign_reply(handler.nonce, raw)))
        return True
    return fault


def wrong_mac(handler):
    body = json.dumps({"v": 1, "seq": 1, "state": "waiting"}).encode()
    handler.reply(200, body, dict(handler.host.key.sign_reply("0" * 32, body)))
    return True


def no_mac(handler):
    handler.reply(200, json.dumps({"v": 1, "seq": 1, "state": "waiting"}).encode())
    return True


def not_joins(fault):
    """The fault, once the node has joined."""
    return lambda handler: "join" not in handler.message and fault(handler)


# ---- faults of pieces ----

def lie(handler, body):
    wrong = bytes([body[0] ^ 1]) + body[1:]
    whole = handler.headers["Range"].replace("=", " ") + "/*"
    handler.reply(206, wrong, {"Content-Range": whole})
    return True


def stall(handler, body):
    """Half of the piece, then nothing."""
    handler.send_response(206)
    handler.send_header("Content-Range", handler.headers["Range"].replace("=", " ") + "/*")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[:len(body) // 2])
    handler.host.wait(30)
    handler.hang_up()
    return True


def piece_status(code):
    def fault(handler, _):
        handler.reply(code)
        return True
    return fault
