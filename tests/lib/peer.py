"""tests/lib/peer.py - a member of a swarm that does what a test tells it, not what is right.

    peer = Peer(swarm, "liar")                     on a host of its own, with the cluster's key
    peer.hello(have=[(digest, size)])
    peer.serve(lambda digest, start, end: bytes)   at its piece port; peer.n_served
    reply = peer.join(digest, size, piece_size); reply = peer.exchange(digest, finished=[...])

Its messages are written by hand after docs/protocol.md, so that it also proves the text; keys and
sets of pieces are those of lib/cluster.py.
"""
import json
import re
import socket
import threading

from lib import cluster, wire

PEER_PORT = 65002


class Refused(Exception):
    def __init__(self, status, body):
        super().__init__(status, body)
        self.status = status


class Peer:
    def __init__(self, swarm, name, site="here", host=None, secret=None):
        self.host = host or swarm.net.add_host(name, swarm.mbit)
        self.name = name
        self.site = site
        self.upstream = swarm.upstream
        self.sizes = swarm.sizes
        self.key = cluster.Key((secret or swarm.secret).strip())
        self.address = f"{self.host.address}:{PEER_PORT}"
        self.id = cluster.make_id()
        self.supernode = swarm.supernodes[0].address
        self.sessions = {}       # digest -> [session, seq]
        self.connection = None
        self.listener = None
        self.n_served = 0
        self.tickets = set()     # that were shown to us

    def close(self):
        if self.connection:
            self.connection.close()
        if self.listener:
            self.listener.close()

    # ---- messages ----

    def post(self, path, message):
        body = json.dumps({"v": 1, "node": self.id, **message}).encode()
        headers, nonce = self.key.sign_request(path, body)
        if self.connection is None:
            with self.host.inside():
                self.connection = wire.Connection(self.supernode)
        self.connection.send_request("POST", path, [
            *headers, ("Content-Type", "application/json")], body)
        reply = self.connection.read_response("POST")
        if reply.status != 200:
            raise Refused(reply.status, reply.body)
        assert self.key.check_reply(reply.header("Darter-Auth"), nonce, reply.body), reply
        return reply.json()

    def hello(self, have=(), **more):
        return self.post("/v1/hello", {
            "name": self.name, "site": self.site, "address": self.address, "full": True,
            "have": [list(each) for each in have], **more})

    def join(self, digest, repository, have=None, **more):
        """have: (size, piece_size, pieces)."""
        self.sessions[digest] = [cluster.make_id(), 0]
        join = {"name": self.name, "site": self.site, "address": self.address, "up_slots": 2,
                "down_slots": 2, "upstream": self.upstream, "repository": repository, **more}
        if have:
            size, piece_size, pieces = have
            n_pieces = (size + piece_size - 1) // piece_size
            join |= {"size": size, "piece_size": piece_size, "have": cluster.bits(pieces, n_pieces)}
        return self.exchange(digest, join=join)

    def exchange(self, digest, **more):
        session = self.sessions[digest]
        session[1] += 1
        return self.post("/v1/exchange", {"digest": digest, "session": session[0],
                                          "seq": session[1], **more})

    # ---- pieces ----

    def serve(self, answer):
        """answer(digest, first, last) -> the bytes of that range, or what passes for them."""
        with self.host.inside():
            self.listener = socket.create_server((self.host.address, PEER_PORT))
        threading.Thread(target=self.accept_loop, args=(answer,), daemon=True).start()

    def accept_loop(self, answer):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.answer_all, args=(sock, answer), daemon=True).start()

    def answer_all(self, sock, answer):
        with sock, sock.makefile("rb") as reader:
            try:
                while self.answer_one(sock, reader, answer):
                    pass
            except OSError:
                pass

    def answer_one(self, sock, reader, answer):
        target = reader.readline().split()
        if len(target) < 2:
            return False
        headers = {}
        while (line := reader.readline().strip()):
            name, value = line.decode("latin-1").split(":", 1)
            headers[name.lower()] = value.strip()
        self.tickets.add(headers.get("darter-ticket"))
        first, last = map(int, re.match(r"bytes=(\d+)-(\d+)$", headers["range"]).groups())
        digest = target[1].decode().rsplit("/", 1)[1]
        body = answer(digest, first, last)
        size = self.sizes[digest]
        sock.sendall(f"HTTP/1.1 206 Partial Content\r\nContent-Length: {len(body)}\r\n"
                     f"Content-Range: bytes {first}-{last}/{size}\r\n\r\n".encode() + body)
        self.n_served += 1
        return True
