"""Members of the swarm that hold the key and mean harm, against the real daemons: whatever a node,
or what calls itself a supernode, does - a pull ends, its bytes are right, and nobody else pays."""
import contextlib
import os
import time

import pytest

from lib import cluster, fakeswarm
from lib.fakeswarm import ClusterKey, FakePeer
from lib.nodes import FakeNode, Supernode, make_blob
from lib.proxy import is_instrumented, wait_until

REPO = "library/web"
MIB = 1024 * 1024
SLOWER = 3 if is_instrumented() else 1


class Swarm:
    """A real supernode, real nodes, and bad ones."""

    def __init__(self, origin, run_darter, stack):
        self.origin = origin
        self.run_darter = run_darter
        self.stack = stack
        self.supernode = stack.enter_context(Supernode({"test.local": [origin.url]}))

    def node(self, name="good"):
        key_file = os.path.join(self.supernode.folder, "nodes.key")
        if not os.path.exists(key_file):
            with open(key_file, "w", encoding="utf-8") as file:
                file.write(cluster.SECRET)
            os.chmod(key_file, 0o600)
        darter = self.run_darter({"test.local": [self.origin.url]}, options=[
            "--cluster-key-file", key_file, "--node-name", name,
            "--supernode", self.supernode.url])

        def is_up():
            rows = darter.ask_admin("/v1/supernodes").json()["supernodes"]
            return all(row["state"] == "up" for row in rows)

        wait_until(is_up, "the supernode to be up")
        return darter

    def bad_node(self, name="bad", fault=None, data=None):
        """It serves pieces of the data, and does so badly."""
        peer = self.stack.enter_context(FakePeer(ClusterKey(cluster.SECRET)))
        peer.piece_fault = fault
        if data is not None:
            peer.add(data)
        node = self.stack.enter_context(FakeNode(self.supernode, name))
        node.address = peer.address
        node.peer = peer
        return node

    def blob(self, size=4 * MIB + 17, seed=1):
        data = make_blob(size, seed)
        return self.origin.add_blob(REPO, data), data


@pytest.fixture
def swarm(origin, run_darter):
    with contextlib.ExitStack() as stack:
        yield Swarm(origin, run_darter, stack)


def pull(darter, digest, data, limit_s):
    began = time.monotonic()
    response = darter.blob(REPO, digest)
    took = time.monotonic() - began
    assert response.status == 200 and response.is_complete and response.body == data, response
    assert took < limit_s, took


# ---- holders that do not bring what they have ----

def trickle(handler, body):
    """A byte a second: never silent, and never done."""
    handler.send_response(206)
    handler.send_header("Content-Range", handler.headers["Range"].replace("=", " ") + "/*")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    for byte in body:
        handler.wfile.write(bytes([byte]))
        handler.host.wait(1)
        if handler.host.closing.is_set():
            break
    handler.hang_up()
    return True


@pytest.mark.parametrize("fault,limit_s", [
    (trickle, 6), (fakeswarm.piece_status(503), 3), (fakeswarm.piece_status(403), 3),
    (fakeswarm.stall, 6)], ids=["trickles", "busy", "refuses", "stalls"])
@pytest.mark.parametrize("how", ["says it holds it", "joins with all of it"])
def test_who_does_not_bring_what_he_has_is_a_short_wait(swarm, fault, limit_s, how):
    good = swarm.node()
    digest, data = swarm.blob()
    bad = swarm.bad_node(fault=fault, data=data)
    if how == "says it holds it":
        bad.hello(full=True, have=[[digest, len(data)]])
    else:
        bad.keep(digest, data)
        session = bad.session(digest)
        session.size = len(data)
        session.exchange()
    pull(good, digest, data, limit_s * SLOWER)
    assert bad.peer.requests
    # The seed has fetched it, once, and everybody else has it from the swarm.
    assert swarm.origin.blob_bytes[digest] == len(data)
