"""Members of the swarm that hold the key and mean harm, against the real daemons: whatever a node,
or what calls itself a supernode, does - a pull ends, its bytes are right, and nobody else pays."""
import contextlib
import itertools
import re
import subprocess
import threading

import pytest

from lib import cluster, fakeswarm, faults
from lib.clock import Stopwatch
from lib.fakeswarm import FakePeer
from lib.nodes import PATH_EXCHANGE, PATH_HELLO, FakeNode, Supernode, make_blob
from lib.proxy import is_instrumented, wait_until

REPO = "library/web"
MIB = 1024 * 1024
SLOWER = 3 if is_instrumented() else 1
SHORT_S = 8  # for what takes a moment: below the 10 s of stall-timeout, which would hide a loss


class Swarm:
    """A real supernode, real nodes, and bad ones."""

    def __init__(self, origin, run_darter, stack):
        self.origin = origin
        self.run_darter = run_darter
        self.stack = stack
        self.nodes = []
        self.watch = Stopwatch()
        self.supernode = stack.enter_context(Supernode({"test.local": [origin.url]}))

    def node(self, name="good"):
        key_file = self.supernode.key.write(self.supernode.folder)
        # No registry helps out before 20 s (P-63): it is the swarm that has to manage.
        darter = self.run_darter({"test.local": [self.origin.url]}, options=[
            "--cluster-key-file", key_file, "--node-name", name, "--head-deadline", "60s",
            "--supernode", self.supernode.url])
        self.nodes.append(darter)
        self.wait_until_up(darter)
        return darter

    @staticmethod
    def wait_until_up(darter):
        def is_up():
            rows = darter.ask_admin("/v1/supernodes").json()["supernodes"]
            return all(row["state"] == "up" for row in rows)

        wait_until(is_up, "the supernode to be up")

    def bad_node(self, name="bad", fault=None, data=None):
        """It serves pieces of the data, and does so badly."""
        peer = self.stack.enter_context(FakePeer(self.supernode.key))
        peer.piece_fault = fault
        if data is not None:
            peer.add(data)
        node = self.stack.enter_context(FakeNode(self.supernode, name))
        node.address = peer.address
        node.peer = peer
        return node

    def seed_bytes(self):
        """What the supernode has fetched from the registry."""
        return self.supernode.metric('darter_source_bytes_total{source="origin"}')

    def must_be_fetched_once(self, digest, data):
        """But for a node that asked itself, as its supernode was not let run for a second."""
        n_silent = sum(is_silence for node in self.nodes for is_silence in losses(node))
        assert n_silent <= 1 or self.watch.longest_gap_s() > 0.5
        assert len(data) <= self.origin.blob_bytes[digest] <= len(data) * (1 + n_silent)

    def blob(self, size=4 * MIB + 17, seed=1):
        data = make_blob(size, seed)
        return self.origin.add_blob(REPO, data), data


@pytest.fixture
def swarm(origin, run_darter):
    with contextlib.ExitStack() as stack:
        yield Swarm(origin, run_darter, stack)


def pull(darter, digest, data, limit_s):
    watch = Stopwatch()
    response = darter.blob(REPO, digest)
    took = watch.seconds()
    assert response.status == 200 and response.is_complete and response.body == data, response
    assert took < limit_s * SLOWER, took


def losses(darter):
    """Of each time that it left the swarm: was it only for silence?"""
    return ["no answer for" in line for line in re.findall(" swarm_lost .*", darter.log)]


def join_with_all(node, digest, data, size=None):
    """It says that it has every piece, from an earlier life."""
    node.keep(digest, data)
    session = node.session(digest)
    session.size = size or len(data)
    session.exchange()
    return session


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
    (trickle, 9), (fakeswarm.piece_status(503), 6), (fakeswarm.piece_status(403), 5),
    (fakeswarm.stall, 12)], ids=["trickles", "busy", "refuses", "stalls"])
@pytest.mark.parametrize("how", ["says it holds it", "joins with all of it"])
def test_who_does_not_bring_what_he_has_is_a_short_wait(swarm, fault, limit_s, how):
    good = swarm.node()
    digest, data = swarm.blob()
    bad = swarm.bad_node(fault=fault, data=data)
    if how == "says it holds it":
        bad.hello(full=True, have=[[digest, len(data)]])
    else:
        join_with_all(bad, digest, data)
    pull(good, digest, data, limit_s)
    assert bad.peer.requests
    # The seed has fetched it, once, and everybody else has it from the swarm.
    swarm.must_be_fetched_once(digest, data)


# ---- one who calls himself by another's id ----

def test_a_liar_under_anothers_id_does_not_discredit_him(swarm):
    digest, data = swarm.blob()
    victim, accuser, third = (FakeNode(swarm.supernode, name)
                              for name in ("victim", "accuser", "third"))
    with victim, accuser, third:
        victim.hello(full=True)
        assert victim.session(digest).pull(leave=False) == data
        # The liar takes the victim's id, and serves lies at an address of his own.
        liar = swarm.bad_node("victim", fault=fakeswarm.lie, data=data)
        liar.id = victim.id
        session = join_with_all(liar, digest, data)
        assert accuser.session(digest).pull() == data
        wait_until(lambda: "node_lies" in swarm.supernode.log, "the proof")
        session.leave()
        # The victim is where it was: it joins again, is a source, and has no strike.
        n_served = len(victim.served)
        victim.hello(full=True)
        join_with_all(victim, digest, data)
        assert third.session(digest).pull() == data
        assert len(victim.served) > n_served
        strikes = {node["name"]: node["strikes"] for node in swarm.supernode.nodes()["nodes"]}
        assert strikes["victim"] == 0


# ---- addresses that others are sent to ----

@pytest.mark.parametrize("address", ["169.254.169.254:80", "0.0.0.0:80", "224.0.0.1:80",
                                     "[fe80::1]:80", "[::ffff:169.254.169.254]:80"])
def test_nobody_is_sent_where_no_node_can_be(swarm, address):
    digest, _ = swarm.blob()
    bad = swarm.bad_node()
    bad.address = address
    assert swarm.supernode.post(PATH_HELLO, bad.hello_message(full=True)).status == 400
    assert swarm.supernode.post(PATH_EXCHANGE, bad.session(digest).message()).status == 400


def test_nobody_is_sent_to_his_own_loopback(origin):
    """A node from elsewhere that names 127.0.0.1 would have everybody knock at his own doors."""
    elsewhere = subprocess.run(["hostname", "-I"], capture_output=True, text=True,
                               check=True).stdout.split()
    if not elsewhere:
        pytest.skip("this machine has no address but loopback")
    data = make_blob(MIB)
    digest = origin.add_blob(REPO, data)
    with Supernode({"test.local": [origin.url]}, listen="0.0.0.0:0") as supernode, \
            FakeNode(supernode, "bad") as bad:
        supernode.address = elsewhere[0], supernode.address[1]
        reply = bad.join(digest).reply
        assert reply["state"] == "gone" and reply["code"] == "EINVAL", reply
        bad.hello(full=True, have=[[digest, len(data)]])
        assert supernode.nodes()["nodes"] == []


# ---- names that become paths ----

@pytest.mark.parametrize("repo", ["../../admin", "library/../web", "library/web?x=", "library//web",
                                  "library/web#", "library/%2e%2e/web", "library/web/blobs/x/..",
                                  "Library/web", "/library/web",
                                  pytest.param("a" * 256, id="too long")])
def test_no_registry_is_asked_for_a_name_that_is_none(swarm, repo):
    """The path is the supernode's, and so may be the credentials."""
    digest, data = swarm.blob()
    before = len(swarm.origin.requests)
    bad = swarm.bad_node()
    reply = bad.join(digest, repo=repo).reply
    assert reply["state"] == "gone" and reply["code"] == "EINVAL", reply
    # One with a good name comes after it: whatever the bad one set going would have been seen.
    pull(swarm.node(), digest, data, SHORT_S)
    asked = [request.target for request in swarm.origin.requests[before:]]
    assert asked and all(path.startswith(f"/v2/{REPO}/") for path in asked), asked


# ---- memory ----

def test_a_few_bytes_do_not_cost_gigabytes(swarm):
    """Joins of blobs of 1 TiB: what they take is shared, and small ones go on."""
    good = swarm.node()
    bad = swarm.bad_node()

    def join(i):
        session = bad.session(f"sha256:{i:064x}")
        session.size, session.piece_size = 1 << 40, 16 * MIB
        session.pieces = range(session.n_pieces)
        return session

    with contextlib.ExitStack() as held:
        for i in range(64):
            held.enter_context(join(i).begin()[0])
        tasks = lambda: swarm.supernode.tasks()["tasks"]
        wait_until(lambda: sum(task["state"] == "open" for task in tasks()) == 64, "the tasks")
        # The next one is too many, unless we took so long that some were given up.
        replies = (join(i).exchange() for i in itertools.count(64))
        reply = next(reply for reply in itertools.islice(replies, 16) if reply["state"] == "gone")
        assert reply["code"] == "EBUSY", reply
        digest, data = swarm.blob()
        swarm.wait_until_up(good)  # it may have been silent while it made all of that
        pull(good, digest, data, SHORT_S)
        assert all(losses(good))  # none for a refusal


# ---- a size that is wrong ----

WRONG_SIZES = {"a byte less": lambda n: n - 1, "a byte more": lambda n: n + 1,
               "twice as much": lambda n: 2 * n, "a terabyte": lambda n: 1 << 40}


def tell_size(node, digest, data, size, how):
    """It says that it holds a blob of this size, in one way or the other."""
    if how == "says it holds it":
        node.hello(full=True, have=[[digest, size]])
        return None
    node.keep(digest, data)
    session = node.session(digest)
    session.size, session.piece_size = size, cluster.choose_piece_size(size)
    session.exchange()
    return session


def is_in_the_swarm(darter):
    return "swarm_joined" in darter.log and all(losses(darter))


@pytest.mark.parametrize("how", ["says it holds it", "joins with all of it"])
@pytest.mark.parametrize("wrong", WRONG_SIZES)
def test_a_wrong_size_puts_out_who_tells_it_and_nobody_else(swarm, wrong, how):
    good, second = swarm.node(), swarm.node("second")
    digest, data = swarm.blob()
    bad = swarm.bad_node(data=data)
    session = tell_size(bad, digest, data, WRONG_SIZES[wrong](len(data)), how)
    pull(good, digest, data, SHORT_S)
    pull(second, digest, data, SHORT_S)
    assert is_in_the_swarm(good) and is_in_the_swarm(second)
    assert swarm.seed_bytes() == len(data) or losses(good) or losses(second)
    assert not bad.peer.requests
    if session is None:
        return
    assert session.exchange()["state"] == "unknown"
    reply = tell_size(bad, digest, data, WRONG_SIZES[wrong](len(data)), how)
    assert reply.reply["state"] == "gone" and reply.reply["code"] == "ECONFLICT", reply.reply
    assert "node_lies" not in swarm.supernode.log  # it may have been told so itself


def test_a_wrong_size_does_not_outweigh_what_the_supernode_has(swarm):
    """Nobody contradicts, but the blob is in its own cache."""
    good = swarm.node()
    digest, data = swarm.blob()
    pull(good, digest, data, SHORT_S)
    good.stop()
    swarm.supernode.stop()
    swarm.supernode.start()
    bad = swarm.bad_node(data=data)
    bad.hello(full=True, have=[[digest, len(data) - 1]])
    second = swarm.node("second")
    pull(second, digest, data, SHORT_S)
    assert is_in_the_swarm(second) and not bad.peer.requests
    swarm.must_be_fetched_once(digest, data)
    good.start()


def test_who_contradicts_a_right_size_waits_and_is_refused(swarm):
    """The swarm goes on meanwhile; the registry is asked once, however often it is tried."""
    digest, data = swarm.blob()
    holder = swarm.stack.enter_context(FakeNode(swarm.supernode, "holder"))
    join_with_all(holder, digest, data)
    gate = faults.Gate()
    swarm.origin.misbehave(lambda exchange: (exchange.origin.wait(gate.opened, 20),
                                             exchange.send()), kind="blob", method="GET")
    bad = swarm.bad_node(data=data)
    session = tell_size(bad, digest, data, len(data) + 1, "joins with all of it")
    assert session.reply["state"] == "waiting", session.reply
    good = swarm.stack.enter_context(FakeNode(swarm.supernode, "good"))
    assert good.session(digest).pull() == data and holder.served
    gate.open()
    wait_until(lambda: session.exchange()["state"] != "waiting", "the registry's word")
    assert session.reply["state"] in ("gone", "unknown"), session.reply
    for _ in range(3):
        again = tell_size(bad, digest, data, len(data) + 1, "joins with all of it")
        assert again.reply["state"] == "gone" and again.reply["code"] == "ECONFLICT", again.reply
    assert swarm.supernode.log.count("size_doubted") == 1
    assert swarm.origin.blob_bytes[digest] <= len(data)


@pytest.mark.parametrize("wrong", WRONG_SIZES)
def test_a_wrong_size_told_to_a_fill_is_found_out(swarm, wrong):
    """Nobody else knows the size; the registry is slow to answer, and the lie comes before it."""
    digest, data = swarm.blob()
    asked, go_on = threading.Event(), threading.Event()

    def waits(exchange):
        asked.set()
        exchange.origin.wait(go_on, 20)
        exchange.send()

    swarm.origin.misbehave(waits, kind="blob", method="GET")
    good = swarm.stack.enter_context(FakeNode(swarm.supernode, "good"))
    assert good.join(digest).reply["state"] == "waiting"
    wait_until(asked.is_set, "the registry to be asked")
    tell_size(swarm.bad_node(data=data), digest, data, WRONG_SIZES[wrong](len(data)),
              "joins with all of it")
    go_on.set()
    wait_until(lambda: "size_was_wrong" in swarm.supernode.log, "the right size")
    good.blobs.clear()
    good.piece_sizes.clear()
    assert good.session(digest).pull() == data


@pytest.mark.limit(120)
def test_without_a_registry_the_size_that_was_told_first_stays(swarm):
    digest, data = swarm.blob()
    holder = swarm.stack.enter_context(FakeNode(swarm.supernode, "holder"))
    holder.keep(digest, data)
    holder.hello(full=True, have=[[digest, len(data)]])
    swarm.origin.misbehave(faults.status(503), kind="blob", method="GET")
    bad = swarm.bad_node(data=data)
    join = lambda: tell_size(bad, digest, data, len(data) + 1, "joins with all of it")
    session = join()

    def is_refused():
        nonlocal session
        holder.hello()
        if session.reply["state"] == "unknown":  # we were silent for too long
            session = join()
        return session.reply["state"] == "gone" or session.exchange()["state"] == "gone"

    wait_until(is_refused, "the registry to be given up", 60)
    good = swarm.stack.enter_context(FakeNode(swarm.supernode, "good"))
    assert good.session(digest).pull() == data
