"""A node and its swarm: it joins, takes pieces where it is told to, says what became of them - and
whatever a supernode or another node does, the pull goes on from the registry and the bytes are
right. Supernode and peers are made up (lib/fakeswarm.py)."""
import concurrent.futures
import os
import re
import signal
import subprocess
import threading
import time

import pytest

from lib import cluster, fakeswarm, faults, wire
from lib.clock import Stopwatch
from lib.proxy import binary_folder, is_instrumented, wait_until
from lib.fakeswarm import FakePeer, FakeSupernode

REPO = "library/web"
MIB = 1024 * 1024
PIECE = fakeswarm.PIECE_MIN
SIZE = 8 * MIB + 17
SECRET = "a secret of the test cluster"
# From the loss to the registry: a second of patience + 20 %, and the registry's answer. The rest is
# for a machine with much else to do; below the 10 s of stall-timeout, which would hide a loss.
FALLBACK_S = 9 if is_instrumented() else 8


class Site:
    """One node, one supernode, and what they need."""

    def __init__(self, origin, run_darter, folder):
        self.origin = origin
        self.run_darter = run_darter
        self.folder = str(folder)
        self.key = cluster.Key(SECRET)
        self.key_file = self.write_key(SECRET)
        self.darter = None
        self.watch = Stopwatch()

    def write_key(self, *secrets):
        path = os.path.join(self.folder, "cluster.key")
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join(f"{secret}\n" for secret in secrets))
        os.chmod(path, 0o600)
        return path

    def start(self, *supernodes, options=()):
        flags = ["--cluster-key-file", self.key_file, "--node-name", "node-1", *options]
        for supernode in supernodes:
            flags += ["--supernode", supernode.url]
        self.darter = self.run_darter({"test.local": [self.origin.url]}, options=flags)
        if supernodes:
            self.wait_for("up", len(supernodes))
        return self.darter

    def supernodes(self):
        return self.darter.ask_admin("/v1/supernodes").json()["supernodes"]

    def wait_for(self, state, n=1):
        def reached():
            return sum(row["state"] == state for row in self.supernodes()) == n
        wait_until(reached, f"{n} supernodes to be {state}")

    def blob(self, *hosts, size=SIZE):
        """A blob at the registry and at these."""
        data = os.urandom(size)
        digest = self.origin.add_blob(REPO, data)
        for host in hosts:
            host.add(data)
        return digest, data

    def pull(self, digest, data, headers=(), within=None):
        """Returns how long it took, with the time in which the machine stood still; `within` is
        without."""
        watch, start = Stopwatch(), time.monotonic()
        response = self.darter.blob(REPO, digest, headers)
        took = time.monotonic() - start
        assert response.status == 200 and response.is_complete, response
        assert response.body == data
        assert within is None or watch.seconds() < within, took
        return took

    def stood_still(self):
        """Our supernode and peers were not let run for so long that a node may call them silent."""
        return self.watch.longest_gap_s() > 0.5

    def must_spare_registry(self, digest):
        """Not a byte from there. False: we were silent, the node said so, and asked it."""
        if self.origin_bytes(digest) == 0:
            return True
        assert self.stood_still(), (self.origin_bytes(digest), self.watch.longest_gap_s())
        assert re.search(" (swarm_lost|swarm_slow|supernode_down) ", self.darter.log)
        return False

    def wait_for_log(self, pattern):
        wait_until(lambda: re.search(pattern, self.darter.log), f"a line with {pattern}")

    def origin_bytes(self, digest):
        return self.origin.blob_bytes[digest]

    def task(self, digest):
        tasks = self.darter.ask_admin("/v1/tasks").json()["tasks"]
        return next((task for task in tasks if task["digest"] == digest), None)

    def director(self, digest):
        task = self.task(digest)
        return task["director"] if task else None


def pull_beside(site, digest, data):
    """Returns a function that waits for the pull and passes on what went wrong with it."""
    pool = concurrent.futures.ThreadPoolExecutor(1)
    pulled = pool.submit(site.pull, digest, data)
    pool.shutdown(wait=False)
    return lambda: pulled.result(50)


@pytest.fixture
def site(origin, run_darter, tmp_path):
    return Site(origin, run_darter, tmp_path)


@pytest.fixture
def supernode(site):
    with FakeSupernode(site.key) as fake:
        yield fake


@pytest.fixture
def peer(site, supernode):
    with FakePeer(site.key, supernode) as fake:
        yield fake


# ---- all is well ----

def test_every_piece_comes_from_the_seed(site, supernode):
    site.start(supernode)
    digest, data = site.blob(supernode)
    site.pull(digest, data)
    if not site.must_spare_registry(digest):
        return
    assert sum(last - first + 1 for _, first, last in supernode.requests) == len(data)
    n = -(-len(data) // PIECE)
    finished = lambda: {row[0] for row in supernode.reports("finished")} == set(range(n))
    wait_until(finished, "every piece to be reported")
    assert not supernode.reports("failed")
    wait_until(lambda: any(e.get("leave") for e in supernode.exchanges), "the leave")
    leave = next(e for e in supernode.exchanges if e.get("leave"))
    assert leave["keeps"] is True
    assert site.darter.metric("darter_swarm_pieces_total") == n


def test_pieces_come_from_peers(site, supernode, peer):
    site.start(supernode)
    digest, data = site.blob(supernode, peer)
    site.pull(digest, data)
    if not site.must_spare_registry(digest):
        return
    assert not supernode.requests
    assert len({first for _, first, _ in peer.requests}) == -(-len(data) // PIECE)
    site.wait_for_log(rf"request .*{digest} .* source=peer cache=MISS")


def test_a_small_blob_takes_the_same_way(site, supernode):
    site.start(supernode)
    for size in (1, 10 * 1024, PIECE, PIECE + 1):
        digest, data = site.blob(supernode, size=size)
        site.pull(digest, data)
        if site.must_spare_registry(digest):
            site.wait_for_log(rf"request .*{digest} .* source=seed cache=MISS")


# ---- a small blob inside of the answer ----

def inline(data):
    return {"bytes": cluster.base64url(data)}


@pytest.mark.parametrize("size", [1, 10 * 1024, fakeswarm.INLINE_MAX])
def test_a_small_blob_inside_of_the_answer_is_not_fetched(site, supernode, size):
    supernode.inline = inline
    site.start(supernode)
    digest, data = site.blob(supernode, size=size)
    site.pull(digest, data)
    if not site.must_spare_registry(digest):
        return
    assert not supernode.requests
    assert supernode.joins[0]["inline"] is True
    wait_until(lambda: any(e.get("leave") for e in supernode.exchanges), "the leave")
    finished = supernode.reports("finished")
    assert [row[:2] for row in finished] == [[0, supernode.id]] and not supernode.reports("failed")
    # It counts as what it is: a piece from the seed.
    assert site.darter.metric("darter_source_bytes_total") == size
    assert site.darter.metric("darter_swarm_pieces_total") == 1
    site.wait_for_log(f"peer_bytes=0 seed_bytes={size} failures=0")
    wait_until(lambda: supernode.hellos[-1].get("down") == size, "a hello with the count")


def test_a_wrong_byte_inside_of_an_answer_is_reported_and_reaches_nobody(site, supernode):
    supernode.inline = lambda data: inline(data[:-1] + bytes([data[-1] ^ 1]))
    site.start(supernode)
    digest, data = site.blob(supernode, size=10 * 1024)
    site.pull(digest, data)
    if not site.must_spare_registry(digest):
        return
    assert supernode.requests == [(digest, 0, len(data) - 1)]
    assert supernode.reports("failed") == [[0, supernode.id, "bad-sum"]]
    site.wait_for_log("piece_bad")
    wait_until(lambda: supernode.hellos[-1].get("bad") == 1, "a hello with the count")


def test_bytes_and_sum_of_another_blob_inside_of_an_answer_are_never_delivered(site, supernode):
    """Only the digest shows it."""
    supernode.inline = lambda data: inline(bytes(len(data)))
    site.start(supernode)
    digest, data = site.blob(supernode, size=10 * 1024)
    supernode.sums_of = {digest: bytes(len(data))}
    site.pull(digest, data)
    assert site.origin_bytes(digest) == len(data)


INLINE_FAULTS = {
    "not base64": lambda data: {"bytes": "*" * len(inline(data)["bytes"])},
    "padded": lambda data: {"bytes": inline(data)["bytes"] + "=="},
    "no string": lambda data: {"bytes": list(data[:100])},
    "too short": lambda data: inline(data[:-1]),
    "too long": lambda data: inline(data + b"x"),
    "of another size": lambda data: {**inline(data[1:]), "size": len(data) - 1},
    "more than is allowed": lambda data: {**inline(data * 7), "size": 7 * len(data)},
    "a megabyte": lambda _: inline(bytes(MIB)),
    "beside nothing": lambda data: {**inline(data), "assignments": []},
    "beside two": lambda data: {**inline(data), "assignments":
                                [[0, "0" * 16, "", True], [0, "0" * 16, "", True]]},
    "beside a node's": lambda data: {**inline(data), "assignments":
                                     [[0, "0" * 16, "127.0.0.1:1", False]]},
    "beside another piece": lambda data: {**inline(data), "assignments":
                                          [[1, "0" * 16, "", True]]},
}


@pytest.mark.parametrize("name", INLINE_FAULTS)
def test_nonsense_inside_of_an_answer_is_a_supernode_that_fails(site, supernode, name):
    supernode.inline = INLINE_FAULTS[name]
    site.start(supernode)
    digest, data = site.blob(supernode, size=10 * 1024)
    site.pull(digest, data, within=FALLBACK_S)
    assert site.origin_bytes(digest) == len(data)
    assert site.darter.metric("darter_swarm_lost_total") == 1


def test_a_limit_holds_for_what_is_inside_of_an_answer(site, supernode):
    supernode.inline = inline
    supernode.reply_more = {"down_limit": 65536}
    site.start(supernode)
    digest, data = site.blob(supernode, size=fakeswarm.INLINE_MAX)
    assert site.pull(digest, data) > 0.8 and not supernode.requests


def test_a_join_says_who_we_are_and_seals_what_is_secret(site, supernode):
    site.start(supernode, options=["--rack", "r7", "--advertise", "192.0.2.9"])
    digest, data = site.blob(supernode)
    site.pull(digest, data, [("Authorization", "Bearer of-the-caller")])
    join = supernode.joins[0]
    port = site.darter.peer[1]
    assert join["name"] == "node-1" and join["site"] == "default" and join["rack"] == "r7"
    assert join["address"] == f"192.0.2.9:{port}"
    assert join["upstream"] == "test.local" and join["repository"] == REPO
    sealed = join["authorization"]
    assert "of-the-caller" not in sealed
    context = f"test.local {REPO} {digest}"
    assert site.key.open(context, sealed) == "Bearer of-the-caller"
    assert site.key.open(context + "x", sealed) is None
    assert "of-the-caller" not in site.darter.log
    assert not supernode.refused


def test_a_node_that_listens_on_one_address_is_found_at_it(site, supernode):
    site.start(supernode, options=["--peer-listen", "127.0.0.9:0"])
    digest, data = site.blob(supernode)
    site.pull(digest, data)
    port = site.darter.peer[1]
    assert {hello["address"] for hello in supernode.hellos} == {f"127.0.0.9:{port}"}
    assert supernode.joins[0]["address"] == f"127.0.0.9:{port}"


def test_hellos_tell_what_is_held(site, supernode):
    site.start(supernode)
    digest, data = site.blob(supernode)
    site.pull(digest, data)

    def told():
        return any([digest, len(data)] in hello.get("have", []) for hello in supernode.hellos)

    wait_until(told, "a hello with the new blob")
    hello = supernode.hellos[0]
    assert hello["name"] == "node-1" and hello["address"] == f":{site.darter.peer[1]}"
    wait_until(lambda: any(hello.get("full") for hello in supernode.hellos), "a full list")
    supernode.hello_more = {"wants_full": True}  # it was restarted
    n = len(supernode.hellos)
    whole = lambda: any(hello.get("full") and [digest, len(data)] in hello.get("have", [])
                        for hello in supernode.hellos[n:])
    wait_until(whole, "the full list again")
    site.wait_for("up")
    site.darter.stop()
    wait_until(lambda: supernode.hellos[-1].get("bye") is True, "the bye")
    site.darter.start()


def test_a_restarted_node_tells_what_its_cache_holds(site, supernode):
    site.start(supernode)
    digest, data = site.blob(supernode)
    site.pull(digest, data)
    wait_until(lambda: site.task(digest) is None, "the task to end")
    site.darter.stop()
    n = len(supernode.hellos)
    site.darter.start()
    full = lambda: any(hello.get("full") and [digest, len(data)] in hello.get("have", [])
                       for hello in supernode.hellos[n:])
    supernode.hello_more = {"wants_full": True}
    wait_until(full, "the list of the cache")


# ---- the supernode fails ----

EXCHANGE_FAULTS = {
    "silent": fakeswarm.silent,
    "slow": fakeswarm.slow,
    "closes": fakeswarm.closes,
    "500": fakeswarm.status(500),
    "404": fakeswarm.status(404),
    "401": fakeswarm.status(401),
    "redirect": fakeswarm.status(302),
    "no json": fakeswarm.says(b"<html>hello</html>"),
    "empty": fakeswarm.says(b""),
    "another version": fakeswarm.says({"v": 99, "state": "open"}),
    "a state nobody knows": fakeswarm.says({"v": 1, "seq": 1, "state": "dancing"}),
    "wrong mac": fakeswarm.wrong_mac,
    "no mac": fakeswarm.no_mac,
    "huge": fakeswarm.says(b" " * (2 * MIB)),
    "unknown for ever": fakeswarm.says({"v": 1, "seq": 1, "state": "unknown"}),
    "gone": fakeswarm.says({"v": 1, "seq": 1, "state": "gone", "code": "EBUSY", "reason": "full"}),
    "pieces of another size": fakeswarm.says(
        lambda _: {"v": 1, "seq": 1, "state": "open", "size": SIZE, "piece_size": 4 * MIB}),
    "a size of another blob": fakeswarm.says(
        lambda _: {"v": 1, "seq": 1, "state": "open", "size": SIZE - 1, "piece_size": PIECE}),
    "a piece outside the blob": fakeswarm.says(
        lambda _: {"v": 1, "seq": 1, "state": "open", "size": SIZE, "piece_size": PIECE,
                   "ticket": "v1 1 x y", "assignments": [[33, "0" * 16, "127.0.0.1:1", False]]}),
    "65 assignments": fakeswarm.says(
        lambda _: {"v": 1, "seq": 1, "state": "open", "size": SIZE, "piece_size": PIECE,
                   "ticket": "v1 1 x y",
                   "assignments": [[1, "0" * 16, "127.0.0.1:1", False]] * 65}),
}


@pytest.mark.parametrize("name", EXCHANGE_FAULTS)
@pytest.mark.parametrize("when", ["at the join", "in the middle"])
def test_a_supernode_that_fails_costs_a_second(site, supernode, name, when):
    site.start(supernode)
    digest, data = site.blob(supernode)
    fault = EXCHANGE_FAULTS[name]
    supernode.exchange_fault = fault if when == "at the join" else fakeswarm.not_joins(fault)
    site.pull(digest, data, within=FALLBACK_S)
    if when == "in the middle" and name == "unknown for ever":
        return  # every join brings some pieces: that is slow, and no reason to leave
    assert site.origin_bytes(digest) > 0
    assert site.darter.metric("darter_swarm_lost_total") >= 1


def test_a_supernode_that_is_not_there_costs_nothing(site, supernode):
    site.start(supernode)
    supernode.close()
    site.wait_for("down")
    blobs = [site.blob(size=MIB) for _ in range(4)]
    # Whoever asks it waits for a second. The machine may make one wait as well, but not each.
    assert min(site.pull(digest, data, within=FALLBACK_S) for digest, data in blobs) < 0.7
    assert all(site.origin_bytes(digest) == len(data) for digest, data in blobs)


def test_one_that_knows_nothing_of_the_blob_sends_us_to_the_registry(site, supernode):
    site.start(supernode)
    digest, data = site.blob()
    site.pull(digest, data, within=FALLBACK_S)
    assert site.origin_bytes(digest) == len(data)
    site.wait_for_log("no such blob")
    # An answer is no failure.
    assert "supernode_down" not in site.darter.log or site.stood_still()


def test_a_forgotten_session_is_begun_again(site, supernode, peer):
    site.start(supernode)
    digest, data = site.blob(supernode, peer)
    gate = threading.Event()

    def hold_late_pieces(handler, _):
        if int(handler.headers["Range"][6:].split("-")[0]) >= 4 * MIB:
            gate.wait(20)
        return False

    peer.piece_fault = hold_late_pieces
    wait = pull_beside(site, digest, data)
    wait_until(lambda: len(supernode.reports("finished")) >= 8, "some pieces")
    supernode.forget_all()
    wait_until(lambda: len(supernode.joins) >= 2, "another join")
    gate.set()
    wait()
    site.must_spare_registry(digest)
    assert supernode.joins[1]["takeover"] is True and supernode.joins[1]["have"]
    assert "sums" in supernode.joins[1]


def test_the_swarm_goes_on_when_the_supernode_is_back(site, supernode):
    site.start(supernode)
    digest, data = site.blob(supernode, size=32 * MIB)
    down = threading.Event()

    def fail_after_some(handler):
        if len(supernode.reports("finished")) >= 8 and not down.is_set():
            down.set()
        return fakeswarm.closes(handler) if down.is_set() and supernode.hello_fault else False

    supernode.exchange_fault = fail_after_some
    supernode.hello_fault = lambda handler: fakeswarm.closes(handler) if down.is_set() else False
    gate = faults.Gate(after=MIB)
    site.origin.misbehave(gate, kind="blob", method="GET", times=1)
    wait = pull_beside(site, digest, data)
    wait_until(gate.reached.is_set, "the registry to be asked")
    wait_until(lambda: (site.director(digest) or {}).get("mode") == "lost", "the mode lost")
    assert site.director(digest)["why"]
    supernode.hello_fault = None  # it is back
    site.wait_for_log("swarm_back")
    gate.open()
    wait()
    assert site.origin_bytes(digest) < len(data)
    assert supernode.joins[-1]["takeover"] is True
    assert site.darter.metric("darter_swarm_back_total") >= 1


def test_the_second_supernode_takes_over(site):
    """The registry is not asked: the other supernode is, before."""
    with FakeSupernode(site.key, "sn-a") as one, FakeSupernode(site.key, "sn-b") as two:
        site.start(one, two)
        digest, data = site.blob(one, two, size=16 * MIB)

        def dies(handler):
            """Whoever is asked first answers eight reports, then never again."""
            first = one if one.joins and not one.joins[0].get("takeover") else two
            is_first = handler.host is first
            return is_first and len(first.reports("finished")) >= 8 and fakeswarm.closes(handler)

        one.exchange_fault = two.exchange_fault = dies
        site.pull(digest, data)
        if not site.must_spare_registry(digest):
            return
        site.wait_for_log("swarm_passed")
        later = next(host for host in (one, two) if host.joins[0].get("takeover"))
        assert "have" in later.joins[0] and "sums" in later.joins[0]


def test_two_supernodes_that_fail_leave_the_registry(site):
    with FakeSupernode(site.key, "sn-a") as one, FakeSupernode(site.key, "sn-b") as two:
        site.start(one, two)
        digest, data = site.blob(one, two)
        one.exchange_fault = two.exchange_fault = fakeswarm.closes
        site.pull(digest, data, within=FALLBACK_S)
        assert site.origin_bytes(digest) == len(data) and one.joins and two.joins


def test_a_supernode_without_pieces_is_left_after_the_stall_timeout(site, supernode):
    site.start(supernode, options=["--stall-timeout", "1s"])
    digest, data = site.blob(supernode)
    supernode.orders = lambda *_: []
    assert site.pull(digest, data, within=1 + FALLBACK_S) > 0.8
    assert site.origin_bytes(digest) == len(data)


# ---- a swarm that is too slow for a client ----

A_TRICKLE = {"down_limit": 1}  # counts as 64 KiB/s: four pieces at once take 16 s


@pytest.mark.parametrize("size", [SIZE, 65 * MIB], ids=["256 KiB pieces", "512 KiB pieces"])
def test_a_share_too_small_for_a_client_is_helped_out_by_the_registry(site, supernode, size):
    """No piece of the swarm can be here before the client has to have its head."""
    site.start(supernode, options=["--head-deadline", "6s"])
    supernode.reply_more = A_TRICKLE
    digest, data = site.blob(supernode, size=size)
    wait = pull_beside(site, digest, data)
    wait_until(lambda: site.origin_bytes(digest) > 0, "the registry to be asked")
    wait_until(lambda: supernode.reports("gained"), "the piece")
    assert (site.director(digest) or {}).get("mode") == "swarm" or site.stood_still()
    supernode.reply_more = {"down_limit": 0}
    wait()
    # A piece, for the byte that was waited for; the rest is the swarm's.
    assert site.origin_bytes(digest) <= cluster.choose_piece_size(size)
    assert not supernode.reports("failed")
    assert site.darter.metric("darter_swarm_slow_total") == 1
    assert "swarm_lost" not in site.darter.log or site.stood_still()


def test_a_swarm_that_slows_down_in_the_middle_is_helped_out_later(site, supernode):
    site.start(supernode, options=["--head-deadline", "2s"])
    digest, data = site.blob(supernode)

    def slow_down(handler):
        if supernode.reports("finished"):
            supernode.reply_more = A_TRICKLE
        return False

    supernode.exchange_fault = slow_down
    wait = pull_beside(site, digest, data)
    wait_until(lambda: site.origin_bytes(digest) > 0, "the registry to be asked")
    supernode.exchange_fault = None
    supernode.reply_more = {"down_limit": 0}
    wait()
    assert site.origin_bytes(digest) <= 2 * PIECE or site.stood_still()
    assert "swarm_lost" not in site.darter.log or site.stood_still()


def test_a_registry_that_cannot_help_out_takes_nothing_from_the_swarm(site, supernode):
    """It is asked when a third of the deadline is over; no piece can be here before."""
    site.start(supernode, options=["--head-deadline", "10s", "--verify-first", "0B"])
    digest, data = site.blob(supernode, size=2 * PIECE + 17)
    site.origin.misbehave(faults.status(503), kind="blob", method="GET")
    supernode.reply_more = A_TRICKLE  # four seconds for a piece alone, eight for all
    start = time.monotonic()
    response = site.darter.blob(REPO, digest)
    if response.status == 503 and site.stood_still() and "swarm_lost" in site.darter.log:
        return  # we were silent as well: nobody was left
    assert response.status == 200 and response.body == data and time.monotonic() - start > 6
    assert site.origin_bytes(digest) < PIECE and not supernode.reports("failed")
    assert site.darter.metric("darter_swarm_slow_total") >= 1


def test_a_supernode_that_waits_for_long_is_not_waited_for(site, supernode):
    """The blob's size is not known yet. When the swarm begins, the registry is left again."""
    site.start(supernode, options=["--head-deadline", "6s"])
    digest, data = site.blob(supernode)
    gate = faults.Gate(after=PIECE + PIECE // 2)
    site.origin.misbehave(gate, kind="blob", method="GET", times=1)

    def waits(handler):
        handler.host.wait(0.2)
        return fakeswarm.says({"v": 1, "seq": handler.message["seq"], "state": "waiting"})(handler)

    supernode.exchange_fault = waits
    wait = pull_beside(site, digest, data)
    wait_until(gate.reached.is_set, "the registry to be asked")
    assert site.director(digest)["mode"] == "joining"
    supernode.forget_all()
    supernode.exchange_fault = None
    wait_until(lambda: len(supernode.reports("finished")) >= 8, "the swarm")
    gate.open()
    wait()
    assert site.darter.metric('darter_source_bytes_total{source="origin"}') <= 3 * PIECE


# ---- peers fail ----

def test_a_lying_peer_is_reported_and_its_bytes_reach_nobody(site, supernode, peer):
    peer.piece_fault = fakeswarm.lie
    site.start(supernode)
    digest, data = site.blob(supernode, peer)
    site.pull(digest, data)
    if not site.must_spare_registry(digest):  # the seed gave them
        return
    failed = supernode.reports("failed")
    assert failed and all(row[1:] == [peer.id, "bad-sum"] for row in failed)
    site.wait_for_log("piece_bad")
    wait_until(lambda: supernode.hellos[-1].get("bad", 0) > 0, "a hello with the count")


PEER_FAULTS = {"stalled": fakeswarm.stall, "busy": fakeswarm.piece_status(503),
               "refused": fakeswarm.piece_status(404), "unreachable": fakeswarm.closes}


@pytest.mark.parametrize("why", PEER_FAULTS)
def test_a_peer_that_fails_is_reported_with_the_reason(site, supernode, peer, why):
    fault = PEER_FAULTS[why]
    peer.piece_fault = (lambda handler, _: fault(handler)) if why == "unreachable" else fault
    # Eight pieces that stall, four at a time, are six seconds, and the head is for all of them.
    site.start(supernode, options=["--head-deadline", "60s"])
    digest, data = site.blob(supernode, peer, size=2 * MIB)
    site.pull(digest, data)
    if not site.must_spare_registry(digest):
        return
    failed = supernode.reports("failed")
    assert failed and {row[2] for row in failed} == {why}, failed


def test_pieces_that_add_up_to_something_else_are_never_delivered(site, supernode):
    """Sums and bytes agree, and the blob is another one: only its digest shows it."""
    site.start(supernode)
    digest, data = site.blob(supernode, size=6 * MIB)
    wrong = bytes(len(data))
    supernode.sums_of = {digest: wrong}
    supernode.blobs[digest] = wrong
    response = site.darter.blob(REPO, digest)
    assert not response.is_complete or response.body == data
    site.pull(digest, data)


def lie_late(handler, body):
    """Right bytes first, so that a client would have some when it shows."""
    first = int(handler.headers["Range"][6:].split("-")[0])
    return first >= 6 * MIB and fakeswarm.lie(handler, body)


def test_the_only_holder_lies_and_nobody_knows_a_sum(site, supernode, peer):
    """Only the digest shows it: so the client is given nothing before it was computed."""
    supernode.tells_sums = False
    peer.piece_fault = lie_late
    site.start(supernode, options=["--head-deadline", "150s"])  # 15 s: time enough for all of it
    digest, data = site.blob(supernode, peer)
    site.pull(digest, data)
    assert len(peer.requests) >= len(data) // PIECE
    assert site.origin_bytes(digest) == len(data)
    site.wait_for_log("digest_mismatch")
    assert "body_cut" not in site.darter.log


def test_what_nobody_vouches_for_waits_no_longer_than_a_client_can(site, supernode, peer):
    """The digest cannot be known before the head was sent: the last pieces come after it."""
    supernode.tells_sums = False
    gate = threading.Event()

    def hold_late_pieces(handler, _):
        if int(handler.headers["Range"][6:].split("-")[0]) >= 6 * MIB:
            gate.wait(30)
        return False

    peer.piece_fault = supernode.piece_fault = hold_late_pieces
    site.start(supernode, options=["--head-deadline", "10s"])
    digest, data = site.blob(supernode, peer)
    with site.darter.connect() as connection:
        start = time.monotonic()
        connection.send_request("GET", f"/v2/{REPO}/blobs/{digest}")
        head = connection.read_head()
        assert time.monotonic() - start > 0.9  # a tenth of the deadline was waited for it
        gate.set()
        response = connection.read_body(head)
    assert response.status == 200 and response.is_complete and response.body == data
    site.must_spare_registry(digest)


# ---- who may ask what ----

def test_without_a_key_it_is_a_plain_mirror(site):
    site.darter = site.run_darter({"test.local": [site.origin.url]})
    assert "peer=closed" in site.darter.log and site.supernodes() == []
    digest, data = site.blob()
    site.pull(digest, data)
    assert site.origin_bytes(digest) == len(data)


def test_pieces_are_for_those_with_a_ticket(site, supernode):
    site.start(supernode)
    digest, data = site.blob(supernode)
    site.pull(digest, data)

    def ask(ticket):
        headers = [("Range", "bytes=0-99")] + ([("Darter-Ticket", ticket)] if ticket else [])
        return wire.fetch(("127.0.0.1", site.darter.peer[1]), "GET", f"/v1/blobs/{digest}", headers)

    assert ask(None).status == 401
    assert ask("v1 nonsense").status == 401
    assert ask(site.key.ticket(digest, expires_ms=cluster.now_ms() - 1000)).status == 401
    assert ask(cluster.Key("another secret of a cluster").ticket(digest)).status == 401
    assert ask(site.key.ticket("sha256:" + "0" * 64)).status == 401
    assert ask(site.key.ticket(digest, "elsewhere")).status == 403
    good = ask(site.key.ticket(digest))
    assert good.status == 206 and good.body == data[:100]
    other = wire.fetch(("127.0.0.1", site.darter.peer[1]), "GET", "/v2/", [])
    assert other.status == 404
    served = lambda: site.darter.ask_admin("/v1/supernodes").json()["pieces"]["served"]
    wait_until(lambda: served() == 1, "the piece to be counted")


def test_a_supernode_of_another_site_is_left_alone(site, supernode):
    supernode.site = "elsewhere"
    site.start(supernode)
    digest, data = site.blob(supernode)
    site.pull(digest, data)
    assert site.origin_bytes(digest) == len(data) and not supernode.exchanges
    assert site.supernodes()[0]["other_site"] is True
    site.wait_for_log("supernode_of_another_site")


@pytest.mark.parametrize("word", ["banned", "draining"])
def test_a_supernode_that_does_not_want_us_gets_no_tasks(site, supernode, word):
    supernode.hello_more = {word: True}
    site.start(supernode)
    digest, data = site.blob(supernode)
    site.pull(digest, data)
    assert site.origin_bytes(digest) == len(data) and not supernode.exchanges
    assert site.supernodes()[0][word] is True


def test_another_key_is_said_to_be_one(site):
    with FakeSupernode(cluster.Key("a secret of somebody else")) as stranger:
        site.start(options=["--supernode", stranger.url])
        site.wait_for("down")
        assert "cluster key" in site.supernodes()[0]["last_error"]
        assert len(stranger.refused) > 0 and not stranger.hellos
        digest, data = site.blob(stranger)
        site.pull(digest, data)
        assert site.origin_bytes(digest) == len(data)


def test_a_key_is_rotated_without_a_restart(site, supernode):
    site.start(supernode)
    site.write_key("the secret that comes next", SECRET)
    new = cluster.Key("the secret that comes next")
    site.darter.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "cluster_key_read" in site.darter.log, "the reload")
    supernode.key = new
    wait_until(lambda: site.supernodes()[0]["state"] == "up" and supernode.hellos, "a hello")
    # Each time another blob: one that came from the registry, for a hello too early, is cached.
    wait_until(lambda: site.pull(*site.blob(supernode, size=MIB)) and supernode.joins, "a join")
    n = len(supernode.hellos)
    wait_until(lambda: len(supernode.hellos) > n, "a hello with the new key")
    site.write_key("short")
    site.darter.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "cluster_key_kept" in site.darter.log, "the refusal")
    n = len(supernode.hellos)
    wait_until(lambda: len(supernode.hellos) > n, "a hello with the key that was kept")


# ---- limits ----

def test_a_share_of_a_limit_holds(site, supernode):
    site.start(supernode)
    supernode.reply_more = {"down_limit": 2 * MIB}
    digest, data = site.blob(supernode, size=4 * MIB)
    took = site.pull(digest, data)
    if site.must_spare_registry(digest):
        assert took > 1.5 and not supernode.reports("failed"), took


def test_the_nodes_limit_is_the_supernodes_word(site, supernode):
    supernode.hello_more = {"down_limit": 2 * MIB}
    site.start(supernode)
    digest, data = site.blob(supernode, size=4 * MIB)
    assert site.pull(digest, data) > 1.5


@pytest.mark.parametrize("whose", ["the blob's", "the node's"])
def test_a_limit_of_next_to_nothing_stops_no_pull(site, supernode, whose):
    """A byte a second counts as 64 KiB: a lie about limits costs time, and the bytes come."""
    if whose == "the node's":
        supernode.hello_more = {"down_limit": 1, "up_limit": 1}
    site.start(supernode)
    if whose == "the blob's":
        supernode.reply_more = {"down_limit": 1}
    digest, data = site.blob(supernode, size=MIB // 4 + 17)
    assert site.pull(digest, data, within=15) > 2


# ---- what an operator sees ----

def test_the_command_shows_supernodes_and_tasks(site, supernode, peer):
    site.start(supernode)
    text = run_cli(site, "supernodes")
    assert supernode.url in text and "supernode-1" in text and "up" in text
    assert '"supernodes"' in run_cli(site, "supernodes", "--json")
    digest, data = site.blob(supernode, peer)
    gate = threading.Event()
    peer.piece_fault = supernode.piece_fault = lambda handler, _: gate.wait(20) and False
    wait = pull_beside(site, digest, data)
    wait_until(lambda: (site.director(digest) or {}).get("mode") == "swarm", "the swarm")
    director = site.director(digest)
    assert director["supernode"] == supernode.url and director["why"] is None
    assert f"[swarm {supernode.url}]" in run_cli(site, "tasks", "--once")
    gate.set()
    wait()
    supernode.close()
    site.wait_for("down")
    assert site.darter.metric("darter_supernode_up") == 0
    assert "down" in run_cli(site, "supernodes")


def run_cli(site, *words):
    host, port = site.darter.admin
    return subprocess.run([os.path.join(binary_folder(), "darter"), "--admin", f"{host}:{port}",
                           *words], check=True, capture_output=True, text=True, timeout=20).stdout


@pytest.mark.parametrize("pieces", [range(8), [0] * 64], ids=["all of it", "one piece"])
def test_a_supernode_that_sends_us_to_nobody_for_ever_is_left(site, supernode, pieces):
    """There is always a fetch on its way, and none ever brings a piece."""
    site.start(supernode)
    digest, data = site.blob()
    supernode.exchange_fault = fakeswarm.says(lambda message: {
        "v": 1, "seq": message["seq"], "state": "open", "size": SIZE, "piece_size": PIECE,
        "ticket": "v1 1 x y",
        "assignments": [[piece, "0" * 16, "127.0.0.1:1", False] for piece in pieces]})
    site.pull(digest, data, within=2 * FALLBACK_S)
    assert site.origin_bytes(digest) > 0
