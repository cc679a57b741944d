"""tests/lib/nodes.py - the real supernode under test, and nodes that are scripts.

    with Supernode({"test.local": [origin.url]}) as supernode, FakeNode(supernode) as node:
        node.hello()
        session = node.join(digest, "library/web")
        data = session.pull()                      what a good node does, until it has everything
        reply = session.exchange(finished=[[0, source, 5]])     or word by word

A FakeNode serves the pieces it has on a port of its own, tickets checked; `lies` changes the bytes
it serves. Every reply's MAC is checked. What it has done is in node.served and session.log.
"""
import json
import random
import threading
import time

from lib import cluster, wire
from lib.origin import Origin, Reply
from lib.supernode import CLUSTER_KEY
from lib.supernode import Supernode as Daemon

PATH_HELLO = "/v1/hello"
PATH_EXCHANGE = "/v1/exchange"
PULL_LIMIT_S = 40


class Supernode(Daemon):
    """The daemon, spoken to as nodes do."""

    def __init__(self, upstreams, options=(), site="default", name="super-a", **more):
        super().__init__(upstreams, options, site=site, name=name, **more)
        self.key = cluster.Key(CLUSTER_KEY)

    # ---- messages ----

    def request(self, path, message, key=None, wall_ms=None):
        """(headers, body, nonce), ready to be sent, or to be sent again."""
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        headers, nonce = (key or self.key).sign_request(path, body, wall_ms)
        return headers, body, nonce

    def post(self, path, message, key=None, wall_ms=None, **more):
        """One message; the response as it came."""
        headers, body, _ = self.request(path, message, key, wall_ms)
        return wire.fetch(self.address, "POST", path, headers, body, **more)

    def ask(self, path, message, **more):
        """One message of a node that does everything right; the reply, its MAC checked."""
        headers, body, nonce = self.request(path, message)
        response = wire.fetch(self.address, "POST", path, headers, body, **more)
        assert response.status == 200, (response.status, response.body)
        assert self.key.check_reply(response.header("Darter-Auth"), nonce, response.body)
        return response.json()

    # ---- what people see ----

    def tasks(self):
        response = self.ask_admin("/v1/tasks")
        assert response.status == 200, response
        return response.json()

    def nodes(self):
        response = self.ask_admin("/v1/nodes")
        assert response.status == 200, response
        return response.json()


class FakeNode:
    def __init__(self, supernode, name="node-1", site=None, rack=None):
        self.supernode = supernode
        self.id = cluster.make_id()
        self.name = name
        self.site = site or supernode.site
        self.rack = rack
        self.blobs = {}           # digest -> {piece: bytes}
        self.piece_sizes = {}     # digest -> bytes of a piece
        self.served = []          # (digest, first byte)
        self.refused = 0          # requests without a good ticket
        self.lies = False
        self.server = PieceServer(self)
        self.address = f"127.0.0.1:{self.server.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.close()

    # ---- hello ----

    def hello_message(self, **more):
        message = {"v": 1, "node": self.id, "name": self.name, "site": self.site,
                   "address": self.address, "up": 0, "down": 0, "bad": 0, **more}
        if self.rack:
            message["rack"] = self.rack
        return message

    def hello(self, **more):
        """more: full, bye, have=[[digest, size]], lost=[digest], up, down, bad"""
        return self.supernode.ask(PATH_HELLO, self.hello_message(**more))

    # ---- tasks ----

    def keep(self, digest, data, pieces=None):
        """It has these pieces (None = all) of the blob, from an earlier life."""
        piece_size = cluster.choose_piece_size(len(data))
        n_pieces = (len(data) + piece_size - 1) // piece_size
        self.piece_sizes[digest] = piece_size
        self.blobs[digest] = {i: data[i * piece_size:(i + 1) * piece_size]
                              for i in (range(n_pieces) if pieces is None else pieces)}

    def session(self, digest, repo="library/web", **more):
        return Session(self, digest, repo, **more)

    def join(self, digest, repo="library/web", **more):
        """A session that has joined; what was answered is session.reply."""
        session = self.session(digest, repo, **more)
        session.exchange()
        return session


class Session:
    def __init__(self, node, digest, repo, upstream="test.local", authorization=None, size=None,
                 takeover=False, sums=None, **join):
        self.node = node
        self.supernode = node.supernode
        self.digest = digest
        self.session = cluster.make_id()
        self.seq = 0
        self.ticket = None
        self.size = size
        self.piece_size = node.piece_sizes.get(digest)
        self.pieces = node.blobs.setdefault(digest, {})
        self.reply = None
        self.log = []             # (piece, from, is seed) of every piece that was fetched
        self.sums = sums
        self.join = {"name": node.name, "site": node.site, "address": node.address, "up_slots": 2,
                     "down_slots": 2, "upstream": upstream, "repository": repo, **join}
        if node.rack:
            self.join["rack"] = node.rack
        if takeover:
            self.join["takeover"] = True
        if authorization:
            context = f"{upstream} {repo} {digest}"
            self.join["authorization"] = self.supernode.key.seal(context, authorization)

    @property
    def n_pieces(self):
        return (self.size + self.piece_size - 1) // self.piece_size

    def message(self, **fields):
        self.seq += 1
        message = {"v": 1, "node": self.node.id, "digest": self.digest, "session": self.session,
                   "seq": self.seq, **fields}
        if self.seq == 1:
            message["join"] = dict(self.join)
            if self.size is not None:
                message["join"]["size"] = self.size
            if self.piece_size is not None and self.size is not None:
                message["join"]["piece_size"] = self.piece_size
                message["join"]["have"] = cluster.bits(self.pieces, self.n_pieces)
            if self.sums:
                message["join"]["sums"] = cluster.base64url(b"".join(
                    bytes.fromhex(self.sums.get(i, "0" * 32)) for i in range(self.n_pieces)))
        return message

    def exchange(self, **fields):
        """One exchange, held open as long as the supernode likes."""
        return self.take(self.supernode.ask(PATH_EXCHANGE, self.message(**fields)))

    def take(self, reply):
        self.reply = reply
        self.ticket = reply.get("ticket", self.ticket)
        if reply["state"] == "open":
            self.size, self.piece_size = reply["size"], reply["piece_size"]
            self.node.piece_sizes[self.digest] = self.piece_size
        return reply

    def begin(self, **fields):
        """An exchange whose answer is not waited for: read it with end()."""
        headers, body, nonce = self.supernode.request(PATH_EXCHANGE, self.message(**fields))
        connection = self.supernode.connect()
        connection.send_request("POST", PATH_EXCHANGE, headers, body)
        return connection, nonce

    def end(self, begun):
        connection, nonce = begun
        with connection:
            response = connection.read_response("POST")
        assert response.status == 200, (response.status, response.body)
        assert self.supernode.key.check_reply(response.header("Darter-Auth"), nonce, response.body)
        return self.take(response.json())

    def leave(self, keeps=False):
        return self.exchange(leave=True, keeps=keeps)

    # ---- pieces ----

    def wait_assignment(self, **fields):
        """Exchanges until there is one."""
        deadline = time.monotonic() + PULL_LIMIT_S
        reply = self.exchange(**fields)
        while not reply.get("assignments"):
            assert reply["state"] in ("open", "waiting"), reply
            assert time.monotonic() < deadline, "no assignment"
            reply = self.exchange()
        return reply["assignments"]

    def fetch(self, assignment):
        """The bytes of an assigned piece, as they came, and the response."""
        piece, address = assignment[0], assignment[2]
        where = self.supernode.address
        if address:
            host, port = address.rsplit(":", 1)
            where = host, int(port)
        first = piece * self.piece_size
        last = min(first + self.piece_size, self.size) - 1
        response = wire.fetch(where, "GET", f"/v1/blobs/{self.digest}",
                              [("Range", f"bytes={first}-{last}"), ("Darter-Ticket", self.ticket)])
        return response

    def fetch_and_say(self, assignment):
        """Fetches it as a node does; what is to be reported: {finished: ...} or {failed: ...}"""
        piece, source = assignment[0], assignment[1]
        began = time.monotonic()
        try:
            response = self.fetch(assignment)
        except OSError:
            return {"failed": [[piece, source, "unreachable"]]}
        if response.status == 503:
            return {"failed": [[piece, source, "busy"]]}
        if response.status != 206:
            return {"failed": [[piece, source, "refused"]]}
        if len(assignment) > 4 and cluster.sum_of(response.body) != assignment[4]:
            return {"failed": [[piece, source, "bad-sum"]]}
        self.pieces[piece] = response.body
        self.log.append((piece, source, assignment[3]))
        return {"finished": [[piece, source, int((time.monotonic() - began) * 1000)]]}

    def pull(self, leave=True):
        """All of it, as a good node does; the blob."""
        deadline = time.monotonic() + PULL_LIMIT_S
        reply = self.exchange() if self.reply is None else self.reply
        while True:
            assert reply["state"] in ("open", "waiting"), reply
            assert time.monotonic() < deadline, f"the pull of {self.node.name} takes too long"
            if self.size is not None and len(self.pieces) == self.n_pieces:
                break
            report = {"finished": [], "failed": []}
            for assignment in reply.get("assignments", []):
                for kind, rows in self.fetch_and_say(assignment).items():
                    report[kind] += rows
            reply = self.exchange(**{kind: rows for kind, rows in report.items() if rows})
        if leave:
            self.leave(keeps=True)
        return b"".join(self.pieces[i] for i in range(self.n_pieces))


class PieceServer(Origin):
    """The piece port of a FakeNode: an origin whose blobs are pieces, with a ticket asked for."""

    def __init__(self, node):
        self.node = node
        super().__init__()

    def reply_to(self, request):
        node = self.node
        digest = request.path.rsplit("/", 1)[-1]
        ticket = request.header("darter-ticket")
        if not node.supernode.key.check_ticket(ticket, digest, node.site):
            node.refused += 1
            return Reply(401, [("Content-Length", 0)])
        first, last = map(int, request.header("range").removeprefix("bytes=").split("-"))
        piece = node.blobs.get(digest, {}).get(first // node.piece_sizes.get(digest, 1))
        if piece is None or len(piece) != last - first + 1:
            return Reply(404, [("Content-Length", 0)])
        node.served.append((digest, first))
        if node.lies:
            piece = bytes(len(piece))
        return Reply(206, [("Content-Length", len(piece)),
                           ("Content-Range", f"bytes {first}-{last}/*")], piece)


def pull_together(sessions):
    """Every session in a thread of its own; the blobs, in order."""
    results, errors = [None] * len(sessions), []

    def run(index):
        try:
            results[index] = sessions[index].pull()
        except BaseException as error:  # pylint: disable=broad-except
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(sessions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def make_blob(size, seed=1):
    return random.Random(seed).randbytes(size)
