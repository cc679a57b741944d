"""The supernode between an origin and nodes that are scripts: one fetch for a site, pieces handed
out as they land, held exchanges, and nodes that lie, vanish, are refused or come again."""
import concurrent.futures
import contextlib
import json
import pathlib
import select
import time

import pytest

from lib import cluster, faults, wire
from lib.auth import Auth
from lib.nodes import PATH_EXCHANGE, PATH_HELLO, FakeNode, Supernode, make_blob, pull_together
from lib.origin import Origin
from lib.proxy import wait_until

MIB = 1024 * 1024
PIECE = 256 * 1024
REPO = "library/web"


@pytest.fixture
def run_supernode():
    with contextlib.ExitStack() as stack:
        def run(*arguments, **more):
            return stack.enter_context(Supernode(*arguments, **more))
        yield run


@pytest.fixture
def supernode(origin, run_supernode):
    return run_supernode({"test.local": [origin.url]})


@pytest.fixture
def make_node(supernode):
    with contextlib.ExitStack() as stack:
        def make(name="node-1", **more):
            return stack.enter_context(FakeNode(supernode, name, **more))
        yield make


def add_blob(origin, size, seed=1):
    data = make_blob(size, seed)
    return origin.add_blob(REPO, data), data


def bytes_from_origin(origin, digest):
    return origin.blob_bytes[digest]


def is_seeded(supernode, digest):
    """The supernode's log says that its own copy is complete."""
    return wait_until(lambda: f"task_done blob={digest.split(':')[1][:12]}" in supernode.log,
                      "the seed to be complete")


# ---- one origin fetch ----

def test_one_node_gets_a_blob_piece_by_piece(origin, supernode, make_node):
    digest, data = add_blob(origin, 3 * MIB + 17)
    session = make_node().session(digest)
    assert session.pull() == data
    assert bytes_from_origin(origin, digest) == len(data)
    assert all(is_seed for _, _, is_seed in session.log)


def test_many_joins_are_one_origin_fetch(origin, supernode, make_node):
    digest, data = add_blob(origin, 6 * MIB)
    nodes = [make_node(f"node-{i}") for i in range(6)]
    sessions = [node.session(digest) for node in nodes]
    assert pull_together(sessions) == [data] * 6
    assert bytes_from_origin(origin, digest) == len(data)
    # Most pieces came from other nodes: that is what it is all for.
    from_peers = sum(not is_seed for session in sessions for _, _, is_seed in session.log)
    assert from_peers > 0
    assert sum(node.refused for node in nodes) == 0


def test_a_small_blob_takes_one_exchange(origin, supernode, make_node):
    digest, data = add_blob(origin, 10_000)
    node = make_node()
    first = node.join(digest)
    assert first.wait_assignment() if not first.reply.get("assignments") else True
    assert first.pull() == data
    # The seed has it now: the first answer carries the piece.
    second = make_node("node-2").join(digest)
    assert [row[0] for row in second.reply["assignments"]] == [0]
    assert second.pull() == data


# ---- a small blob inside of the answer ----

INLINE_MAX = 65536


def answer_that_opens(session):
    """The first answer that hands something out."""
    reply = session.exchange() if session.reply is None else session.reply
    deadline = time.monotonic() + 20
    while not reply.get("assignments"):
        assert time.monotonic() < deadline, reply
        reply = session.exchange()
    return reply


def seed_counts(supernode):
    return (supernode.metric("darter_upload_bytes_total"),
            supernode.metric("darter_supernode_seed_bytes_total"))


@pytest.mark.parametrize("size", [1, 10_000, INLINE_MAX])
def test_a_small_blob_is_inside_of_the_answer(origin, supernode, make_node, size):
    digest, data = add_blob(origin, size)
    session = make_node().session(digest, inline=True)
    reply = answer_that_opens(session)
    assert cluster.from_base64url(reply["bytes"]) == data
    (piece, source, address, is_seed, told), = reply["assignments"]
    assert (piece, address, is_seed, told) == (0, "", True, cluster.sum_of(data))
    session.exchange(finished=[[0, source, 0]])
    assert seed_counts(supernode) == (size, size)
    # It is at its place as well, for those who do not ask for it in this way.
    assert make_node("node-2").session(digest).pull() == data
    assert bytes_from_origin(origin, digest) == size


def test_a_small_blob_is_inside_once_in_a_session(origin, supernode, make_node):
    """Who could not use it says why, and fetches it."""
    digest, data = add_blob(origin, 10_000)
    node = make_node()
    session = node.session(digest, inline=True)
    first = answer_that_opens(session)
    assert "bytes" in first
    again = session.exchange(failed=[[0, first["assignments"][0][1], "busy"]])
    while not again.get("assignments"):
        again = session.exchange()
    assert "bytes" not in again
    assert session.fetch(again["assignments"][0]).body == data
    assert "bytes" in answer_that_opens(node.session(digest, inline=True))  # a new session


@pytest.mark.parametrize("more", [{}, {"inline": False}], ids=["not asked", "refused"])
def test_who_does_not_take_it_fetches_a_small_blob(origin, supernode, make_node, more):
    digest, data = add_blob(origin, 10_000)
    session = make_node().session(digest, **more)
    assert "bytes" not in answer_that_opens(session)
    assert session.pull() == data
    assert make_node("node-2").session(digest, inline=True).pull() == data


def test_a_blob_above_the_limit_is_never_inside(origin, supernode, make_node):
    digest, data = add_blob(origin, INLINE_MAX + 1)
    session = make_node().session(digest, inline=True)
    assert "bytes" not in answer_that_opens(session)
    assert session.pull() == data


def test_a_cached_small_blob_is_inside_of_the_first_answer(origin, supernode, make_node):
    digest, data = add_blob(origin, 10_000)
    assert make_node().session(digest).pull() == data
    is_seeded(supernode, digest)
    supernode.restart()
    reply = make_node("node-2").join(digest, inline=True).reply
    assert cluster.from_base64url(reply["bytes"]) == data
    assert bytes_from_origin(origin, digest) == len(data)


def test_what_a_limit_has_no_room_for_is_fetched(origin, run_supernode):
    """A tenth of a second's worth is what goes out at once."""
    supernode = run_supernode({"test.local": [origin.url]}, ["--limit-up", "256KiB"])
    digest, data = add_blob(origin, INLINE_MAX)
    with FakeNode(supernode) as node:
        session = node.session(digest, inline=True)
        assert "bytes" not in answer_that_opens(session)
        assert session.pull() == data


def test_of_small_blobs_only_so_many_are_kept(origin, supernode, make_node):
    """16 MiB for all tasks together; what is above is fetched from its file."""
    n_kept = 16 * MIB // INLINE_MAX
    node = make_node()
    sessions = [node.session(add_blob(origin, INLINE_MAX, seed)[0], inline=True)
                for seed in range(n_kept + 2)]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(answer_that_opens, sessions))
    assert sum("bytes" in reply for reply in replies) == n_kept
    late = next(session for session in sessions if "bytes" not in session.reply)
    assert late.fetch(late.reply["assignments"][0]).status == 206


def test_a_small_blob_that_a_node_gives_is_not_inside(origin, supernode, make_node):
    digest, data = add_blob(origin, 10_000)
    holder = make_node("holder")
    holder.keep(digest, data)
    holder.hello(full=True, have=[[digest, len(data)]])
    session = make_node("taker").session(digest, inline=True)
    reply = answer_that_opens(session)
    assert "bytes" not in reply and reply["assignments"][0][1] == holder.id
    assert session.pull() == data and bytes_from_origin(origin, digest) == 0


def test_who_is_refused_gets_no_bytes(origin, supernode, make_node):
    digest, data = add_blob(origin, 10_000)
    assert make_node().session(digest).pull() == data
    refused = [make_node(site="elsewhere").join(digest, inline=True),
               make_node().join(digest, upstream="not.ours", inline=True),
               make_node().join(digest, repo="../x", inline=True)]
    assert [session.reply["state"] for session in refused] == ["gone"] * 3
    assert not any("bytes" in session.reply for session in refused)
    strange = make_node().session(digest, inline="yes").message()
    assert supernode.post(PATH_EXCHANGE, strange).status == 400


def test_an_empty_blob_is_left_to_the_mirrors(origin, supernode, make_node):
    digest, _ = add_blob(origin, 0)
    session = make_node().join(digest)
    while session.reply["state"] == "waiting":
        session.exchange()
    assert session.reply["state"] == "gone" and session.reply["code"] == "EINVAL"


def test_pieces_are_handed_out_as_they_land(origin, supernode, make_node):
    digest, data = add_blob(origin, 4 * MIB)
    gate = faults.Gate(after=PIECE + 1000)
    origin.misbehave(gate, kind="blob")
    session = make_node().session(digest)
    rows = session.wait_assignment()
    assert [row[0] for row in rows] == [0]
    report = session.fetch_and_say(rows[0])
    assert report["finished"], report
    gate.open()
    session.exchange(**report)
    assert session.pull() == data


def test_every_assignment_of_the_seed_has_its_sum(origin, supernode, make_node):
    digest, data = add_blob(origin, 2 * MIB)
    session = make_node().session(digest)
    rows = session.wait_assignment()
    for row in rows:
        piece = data[row[0] * PIECE:(row[0] + 1) * PIECE]
        assert row[3] is True and row[2] == "" and row[4] == cluster.sum_of(piece)


# ---- exchanges that are held ----

def join_at_gate(origin, node, digest):
    """A session that was given the first piece and says nothing of it; there is no other one before the
    gate is opened. So its exchanges are held for five seconds, not for half a one."""
    gate = faults.Gate(after=PIECE + 1000)
    origin.misbehave(gate, kind="blob")
    session = node.session(digest)
    session.wait_assignment()
    return gate, session


def hold(supernode, session):
    """An exchange that is held now, for end(). Where it was answered before we looked, another one."""
    while True:
        begun = session.begin()
        while not select.select([begun[0].sock], [], [], 0)[0]:
            if any(task["held"] == 1 for task in supernode.tasks()["tasks"]):
                return begun
        session.end(begun)


def test_an_exchange_is_held_and_answered_empty_after_a_while(origin, supernode, make_node):
    digest, _ = add_blob(origin, 2 * MIB)
    gate = faults.Gate(after=0)
    origin.misbehave(gate, kind="blob")
    session = make_node().session(digest)
    began = time.monotonic()
    reply = session.exchange()
    assert time.monotonic() - began >= 0.3
    assert reply["state"] in ("waiting", "open") and not reply.get("assignments")
    gate.open()


def test_a_newer_exchange_releases_the_older_one(origin, supernode, make_node):
    digest, _ = add_blob(origin, 2 * MIB)
    gate, session = join_at_gate(origin, make_node(), digest)
    older = hold(supernode, session)
    seq = session.seq
    newer = session.begin()
    reply = session.end(older)
    assert reply["seq"] == seq and not reply.get("assignments")
    gate.open()
    assert session.end(newer)["seq"] == seq + 1


def test_of_an_exchange_that_was_overtaken_only_the_reports_count(origin, supernode, make_node):
    digest, data = add_blob(origin, 2 * MIB)
    origin.misbehave(faults.Gate(after=0), kind="blob")
    node = make_node()
    node.keep(digest, data, pieces=[0])
    session = node.session(digest, size=len(data))
    assert session.exchange()["state"] == "open"
    overtaken = session.message(gained=[1], want=PIECE)
    session.exchange(want=3 * PIECE)
    supernode.ask("/v1/exchange", overtaken)
    peers = supernode.ask_admin(f"/v1/tasks/{digest}").json()["peers"]
    row, = (row for row in peers if row["name"] == node.name)
    assert (row["present"], row["want_off"]) == (2, 3 * PIECE), row


def test_an_unknown_session_is_told_to_join_again(origin, supernode, make_node):
    digest, data = add_blob(origin, MIB)
    node = make_node()
    session = node.session(digest)
    session.seq = 5  # as if the supernode had been restarted in between
    assert session.exchange()["state"] == "unknown"
    assert node.session(digest).pull() == data


def test_a_node_that_joins_again_is_one_peer(origin, supernode, make_node):
    digest, data = add_blob(origin, MIB)
    node = make_node()
    first = node.join(digest)
    assert node.session(digest).pull(leave=False) == data
    assert first.exchange()["state"] == "unknown"
    # What somebody recorded of the first session moves nothing.
    first.seq = 0
    assert first.exchange()["state"] == "unknown"
    task, = supernode.tasks()["tasks"]
    assert task["nodes"] == 1


def test_a_client_that_leaves_an_exchange_may_come_back(origin, supernode, make_node):
    digest, data = add_blob(origin, 2 * MIB)
    gate, session = join_at_gate(origin, make_node(), digest)
    rows = session.reply["assignments"]
    connection, _ = hold(supernode, session)
    connection.close()
    wait_until(lambda: all(task["held"] == 0 for task in supernode.tasks()["tasks"]),
               "the exchange to be let go")
    gate.open()
    if session.exchange()["state"] == "unknown":  # it was away for two seconds
        session = session.node.session(digest)
    else:
        session.reply["assignments"] = rows + session.reply.get("assignments", [])
    assert session.pull() == data


def test_a_node_that_vanishes_is_no_peer_any_more(origin, supernode, make_node):
    digest, data = add_blob(origin, 2 * MIB)
    gate = faults.Gate(after=0)
    origin.misbehave(gate, kind="blob")
    session = make_node().join(digest)
    connection, _ = session.begin()
    connection.close()
    wait_until(lambda: all(task["nodes"] == 0 for task in supernode.tasks()["tasks"]),
               "the peer to be given up")
    gate.open()
    assert make_node("node-2").session(digest).pull() == data


# ---- who may speak ----

@pytest.mark.parametrize("path", [PATH_HELLO, PATH_EXCHANGE])
def test_a_wrong_key_is_401(origin, supernode, make_node, path):
    node = make_node()
    message = (node.hello_message(full=True) if path == PATH_HELLO
               else node.session(cluster_digest(origin)).message())
    assert supernode.post(path, message, key=cluster.Key("another secret of some cluster")).status \
        == 401
    bare = wire.fetch(supernode.address, "POST", path, [], json.dumps(message).encode())
    assert bare.status == 401
    assert bare.header("Content-Type") == "application/problem+json"
    assert supernode.post(path, message).status == 200


def cluster_digest(origin):
    return add_blob(origin, 1000)[0]


def test_a_request_of_another_time_is_401(supernode, make_node):
    message = make_node().hello_message(full=True)
    for shift_ms in (-400_000, 400_000):
        response = supernode.post(PATH_HELLO, message, wall_ms=cluster.now_ms() + shift_ms)
        assert response.status == 401 and b"clock" in response.body, response.body


def test_a_changed_body_is_401(supernode, make_node):
    headers, body, _ = supernode.request(PATH_HELLO, make_node().hello_message(full=True))
    changed = body.replace(b"node-1", b"node-2")
    assert wire.fetch(supernode.address, "POST", PATH_HELLO, headers, changed).status == 401
    assert wire.fetch(supernode.address, "POST", PATH_EXCHANGE, headers, body).status == 401


def test_a_replayed_exchange_moves_nothing(origin, supernode, make_node):
    digest, data = add_blob(origin, 2 * MIB)
    session = make_node().join(digest)
    rows = session.reply.get("assignments", [])
    headers, body, _ = supernode.request(PATH_EXCHANGE, session.message())
    answers = [wire.fetch(supernode.address, "POST", PATH_EXCHANGE, headers, body)
               for _ in range(3)]
    assert [answer.status for answer in answers] == [200] * 3
    assert all(not answer.json().get("assignments") for answer in answers[1:])
    session.take(answers[0].json())
    session.reply["assignments"] = rows + session.reply.get("assignments", [])
    assert session.pull() == data


@pytest.mark.parametrize("path,method,body,status", [
    (PATH_EXCHANGE, "GET", b"", 405),
    ("/v1/nothing", "POST", b"{}", 404),
    (PATH_EXCHANGE, "POST", b"{", 400),
    (PATH_HELLO, "POST", b"[1]", 400),
    (PATH_HELLO, "POST", b'{"v":1,"node":"no id"}', 400),
    (PATH_HELLO, "POST", b"x" * (2 * MIB + 1), 413),
], ids=["method", "path", "no-json", "no-object", "no-id", "too-large"])
def test_nonsense_is_refused(supernode, path, method, body, status):
    headers, body, _ = supernode.request(path, body)
    assert wire.fetch(supernode.address, method, path, headers, body).status == status


def test_a_join_of_another_site_is_refused(origin, supernode, make_node):
    digest, _ = add_blob(origin, MIB)
    reply = make_node(site="elsewhere").join(digest).reply
    assert reply["state"] == "gone" and reply["code"] == "EDENIED"
    assert origin.count(kind="blob") == 0


def test_a_hello_of_another_site_is_told_whose_we_are(supernode, make_node):
    reply = make_node(site="elsewhere").hello(full=True)
    assert reply["site"] == "default"
    assert supernode.nodes()["nodes"] == []


def test_an_upstream_that_is_not_ours_is_gone(origin, supernode, make_node):
    digest, _ = add_blob(origin, MIB)
    reply = make_node().join(digest, upstream="other.local").reply
    assert reply["state"] == "gone" and reply["code"] == "ENOTFOUND"


def test_an_address_that_is_none_is_gone(origin, supernode, make_node):
    digest, _ = add_blob(origin, MIB)
    node = make_node()
    node.address = "127.0.0.1:0"
    session = node.session(digest)
    response = supernode.post(PATH_EXCHANGE, session.message())
    assert response.status == 400 or response.json()["state"] == "gone"


def test_a_port_alone_is_found_at_the_host_it_is_seen_from(origin, supernode, make_node):
    digest, data = add_blob(origin, 2 * MIB)
    first, second = make_node(), make_node("node-2")
    first.address = f":{first.server.port}"
    first.hello(full=True)
    assert first.session(digest).pull() == data
    assert first.address.startswith(":")
    node, = supernode.nodes()["nodes"]
    assert node["address"] == f"127.0.0.1:{first.server.port}"
    assert second.session(digest).pull() == data


# ---- credentials ----

SECRET_WORD = "Bearer-of-the-secret-word"


@pytest.fixture
def private(run_supernode):
    """An origin that wants tokens, and a supernode in front of it."""
    auth = Auth(users={"alice": "pw"}, may={"alice": {REPO}})
    with Origin(auth=auth) as origin:
        yield auth, origin, run_supernode({"test.local": [origin.url]})


def test_credentials_are_used_for_the_fetch_and_shown_nowhere(private):
    auth, origin, supernode = private
    digest, data = add_blob(origin, 2 * MIB)
    token = auth.token_for("alice", REPO)
    with FakeNode(supernode) as node:
        session = node.session(digest, authorization=f"Bearer {token}")
        assert session.pull(leave=False) == data
        seen = [supernode.ask_admin(path).body.decode()
                for path in ("/v1/tasks", f"/v1/tasks/{digest}", "/v1/nodes", "/v1/config",
                             "/metrics")]
    asked = origin.select(kind="blob", method="GET")
    assert any(request.header("authorization") == f"Bearer {token}" for request in asked)
    assert token not in supernode.log and not any(token in text for text in seen)


def test_refused_credentials_are_gone_and_good_ones_work_after(private):
    auth, origin, supernode = private
    digest, data = add_blob(origin, 2 * MIB)
    with FakeNode(supernode) as bad, FakeNode(supernode, "node-2") as good:
        session = bad.join(digest, authorization="Bearer of nothing")
        while session.reply["state"] == "waiting":
            session.exchange()
        assert session.reply["state"] == "gone", session.reply
        assert session.reply["code"] in ("EUNAUTHORIZED", "EDENIED"), session.reply
        token = auth.token_for("alice", REPO)
        assert good.session(digest, authorization=f"Bearer {token}").pull() == data


def test_credentials_sealed_for_another_blob_are_401(origin, supernode, make_node):
    digest, _ = add_blob(origin, MIB)
    session = make_node().session(digest)
    session.join["authorization"] = supernode.key.seal("test.local library/other " + digest, "x")
    assert supernode.post(PATH_EXCHANGE, session.message()).status == 401


# ---- the origin ----

def test_an_origin_that_cuts_in_the_middle_is_repaired(origin, supernode, make_node):
    digest, data = add_blob(origin, 4 * MIB)
    origin.misbehave(faults.cut(after=MIB + 77), kind="blob", times=1)
    assert make_node().session(digest).pull() == data
    assert bytes_from_origin(origin, digest) <= len(data) + 2 * MIB


def test_a_blob_that_is_not_there_is_gone(origin, supernode, make_node):
    session = make_node().join("sha256:" + "12" * 32)
    while session.reply["state"] == "waiting":
        session.exchange()
    assert session.reply["state"] == "gone" and session.reply["code"] == "ENOTFOUND"


def test_a_restart_keeps_the_seed(origin, supernode, make_node):
    digest, data = add_blob(origin, 3 * MIB)
    assert make_node().session(digest).pull() == data
    is_seeded(supernode, digest)
    supernode.restart()
    assert make_node("node-2").session(digest).pull() == data
    assert bytes_from_origin(origin, digest) == len(data)


@pytest.mark.limit(120)
def test_a_supernode_that_once_had_the_blob_vouches_for_what_nodes_hold(origin, supernode,
                                                                        make_node):
    """A node that takes a piece without a sum has to hold it back until the digest is known. Its
    own copy is held against what it knows as well."""
    digest, data = add_blob(origin, 2 * MIB)
    holder = make_node("holder")
    assert holder.session(digest).pull() == data
    wait_until(lambda: supernode.tasks()["tasks"] == [], "the task to be forgotten", limit_s=60)
    path, = pathlib.Path(supernode.cache).rglob(f"*{digest.split(':')[1]}*")
    path.write_bytes(bytes(len(data)))
    holder.hello(full=True, have=[[digest, len(data)]])
    late = make_node("late").session(digest)
    rows = late.wait_assignment()
    assert [row[1] for row in rows] == [holder.id] * len(rows)
    piece = cluster.choose_piece_size(len(data))
    assert all(row[4] == cluster.sum_of(data[row[0] * piece:(row[0] + 1) * piece]) for row in rows)
    wait_until(lambda: "seed_lost" in supernode.log, "the damaged copy to be dropped")
    late.exchange(failed=[[row[0], row[1], "busy"] for row in rows])
    assert late.pull() == data
    assert supernode.ask_admin(f"/v1/cache/{digest}").status == 404


def test_a_supernode_ends_while_sums_are_computed(origin, supernode, make_node):
    digest, _ = add_blob(origin, 48 * MIB)
    make_node().join(digest)
    is_seeded(supernode, digest)
    for _ in range(3):
        supernode.restart()
        make_node().session(digest).wait_assignment()  # the first of many sums is there
        supernode.stop()
        supernode.start()


def test_a_node_waits_in_vain_for_no_restart(origin, supernode, make_node):
    """SIGTERM while exchanges are held: they are answered, and it ends at once."""
    digest, _ = add_blob(origin, 2 * MIB)
    _, session = join_at_gate(origin, make_node(), digest)
    connection, _ = hold(supernode, session)
    supernode.stop()
    with connection:
        assert connection.read_response("POST").status == 503


# ---- nodes that hold the blob ----

def test_a_node_that_holds_the_blob_spares_the_origin(origin, supernode, make_node):
    digest, data = add_blob(origin, 3 * MIB)
    holder, taker = make_node("holder"), make_node("taker")
    holder.keep(digest, data)
    holder.hello(full=True, have=[[digest, len(data)]])
    session = taker.session(digest)
    assert session.pull() == data
    assert bytes_from_origin(origin, digest) == 0
    assert not any(is_seed for _, _, is_seed in session.log)


def test_a_holder_that_vanishes_is_replaced_by_the_origin(origin, supernode, make_node):
    digest, data = add_blob(origin, 2 * MIB)
    holder, taker = make_node("holder"), make_node("taker")
    holder.keep(digest, data)
    holder.hello(full=True, have=[[digest, len(data)]])
    holder.server.close()
    assert taker.session(digest).pull() == data


def test_a_holder_that_comes_late_is_used(origin, supernode, make_node):
    digest, data = add_blob(origin, 2 * MIB)
    holder, taker = make_node("holder"), make_node("taker")
    gate = faults.Gate(after=0)
    origin.misbehave(gate, kind="blob")
    session = taker.join(digest)
    holder.keep(digest, data)
    holder.hello(full=True, have=[[digest, len(data)]])
    assert session.pull() == data
    gate.open()
    assert {source for _, source, _ in session.log} == {holder.id}


def test_who_keeps_the_blob_is_a_holder_whatever_it_has_told(origin, supernode, make_node):
    """The reports of its last pieces may be overtaken by its leave."""
    digest, data = add_blob(origin, 2 * MIB)
    node, late = make_node("node"), make_node("late")
    session = node.session(digest)
    assert session.pull(leave=False) == data
    again = node.join(digest)  # a session that has told nothing
    again.exchange(leave=True, keeps=True)
    task, = supernode.tasks()["tasks"]
    assert task["holders"] == 1 and task["nodes"] == 0
    assert late.session(digest).pull() == data
    assert node.served


def test_a_take_over_fetches_only_what_is_missing(origin, supernode, make_node):
    digest, data = add_blob(origin, 10 * PIECE)
    first, second = make_node("node-1"), make_node("node-2")
    first.keep(digest, data, pieces=[0, 1, 2, 3, 4, 5])
    second.keep(digest, data, pieces=[4, 5, 6, 7])
    sums = {i: cluster.sum_of(data[i * PIECE:(i + 1) * PIECE]) for i in range(8)}
    sessions = [node.session(digest, size=len(data), takeover=True, sums=sums)
                for node in (first, second)]
    # Both are in before a registry is asked for anything.
    gate = faults.Gate(after=0)
    origin.misbehave(gate, kind="blob")
    for session in sessions:
        session.exchange()
    gate.open()
    assert pull_together(sessions) == [data] * 2
    assert bytes_from_origin(origin, digest) <= 4 * PIECE + 65536


# ---- lies ----

def test_a_proved_liar_is_quarantined(origin, supernode, make_node):
    digest, data = add_blob(origin, 3 * MIB)
    liar, honest = make_node("liar"), make_node("honest")
    for node in (liar, honest):
        node.hello(full=True)
    assert liar.session(digest).pull(leave=False) == data
    liar.lies = True
    assert honest.session(digest).pull() == data
    wait_until(lambda: "node_lies" in supernode.log, "the proof")
    strikes = {node["name"]: node["strikes"] for node in supernode.nodes()["nodes"]}
    assert strikes["liar"] >= 1 and strikes["honest"] == 0
    # From now on nobody is sent to it, whatever the blob.
    n_served = len(liar.served)
    assert make_node("third").session(digest).pull() == data
    assert len(liar.served) == n_served


def test_an_accusation_that_is_not_true_hurts_nobody(origin, supernode, make_node):
    digest, data = add_blob(origin, 3 * MIB)
    victim, accuser, third = make_node("victim"), make_node("accuser"), make_node("third")
    for node in (victim, accuser, third):
        node.hello(full=True)
    assert victim.session(digest).pull(leave=False) == data
    session = accuser.session(digest)
    rows = session.wait_assignment()
    accused = []
    for _ in range(20):
        accused = [row for row in rows if row[1] == victim.id]
        if accused:
            break
        reports = [session.fetch_and_say(row) for row in rows]
        rows = session.wait_assignment(
            finished=[row for report in reports for row in report.get("finished", [])])
    assert accused, "nobody was sent to the victim"
    session.exchange(failed=[[row[0], row[1], "bad-sum"] for row in accused])
    wait_until(lambda: "accusation_unfounded" in supernode.log, "the supernode to look")
    assert "node_lies" not in supernode.log
    assert third.session(digest).pull() == data
    assert all(node["strikes"] == 0 for node in supernode.nodes()["nodes"])


# ---- nodes ----

def test_a_node_says_hello_and_bye(supernode, make_node):
    node = make_node(rack="r7")
    reply = node.hello()
    assert reply["supernode"] == "super-a" and reply["site"] == "default"
    assert 1000 <= reply["interval_ms"] <= 60000
    assert reply["wants_full"] is True
    assert not node.hello(full=True, have=[["sha256:" + "ab" * 32, 5]]).get("wants_full")
    row, = supernode.nodes()["nodes"]
    assert row["name"] == "node-1" and row["rack"] == "r7"
    node.hello(bye=True)
    assert "why=bye" in wait_until(lambda: supernode.log if "node_gone" in supernode.log else "",
                                   "the node to be gone")


def test_a_node_that_is_silent_is_gone(supernode, make_node):
    make_node().hello(full=True)
    wait_until(lambda: "node_gone node=node-1" in supernode.log or
               'node_gone node="node-1"' in supernode.log, "the node to be gone", limit_s=30)


def ban(supernode, name, method="POST"):
    response = supernode.ask_admin(f"/v1/nodes/{name}/ban", method, body=b"")
    assert response.status in (200, 204), (response.status, response.body)


def test_a_banned_node_is_given_nothing_also_after_a_restart(origin, supernode, make_node):
    digest, data = add_blob(origin, MIB)
    node, other = make_node("bad"), make_node("good")
    node.hello(full=True)
    ban(supernode, "bad")
    assert node.hello().get("banned") is True
    assert node.join(digest).reply["code"] == "EDENIED"
    assert other.session(digest).pull() == data
    supernode.restart()
    assert wait_until(lambda: node.hello(full=True).get("banned"), "the ban to be read") is True
    ban(supernode, "bad", "DELETE")
    assert not node.hello().get("banned")
    assert node.session(digest).pull() == data


def test_a_banned_peer_is_nobodys_source(origin, supernode, make_node):
    digest, data = add_blob(origin, 2 * MIB)
    bad, good = make_node("bad"), make_node("good")
    assert bad.session(digest).pull(leave=False) == data
    ban(supernode, "bad")
    session = good.session(digest)
    assert session.pull() == data
    assert bad.id not in {source for _, source, _ in session.log}


# ---- limits ----

def test_the_limit_of_a_task_is_shared_by_its_nodes(origin, run_supernode):
    supernode = run_supernode({"test.local": [origin.url]}, ["--task-limit", "8MiB"])
    digest, _ = add_blob(origin, 4 * MIB)
    with FakeNode(supernode, "a") as a, FakeNode(supernode, "b") as b:
        gate, first = join_at_gate(origin, a, digest)
        assert first.reply["down_limit"] == 8 * MIB
        held = hold(supernode, first)
        second = b.join(digest)
        assert second.reply["down_limit"] == 4 * MIB
        assert first.end(held)["down_limit"] == 4 * MIB
    gate.open()


def test_drain_takes_no_new_tasks(origin, supernode, make_node):
    old, old_data = add_blob(origin, MIB, seed=1)
    new, _ = add_blob(origin, MIB, seed=2)
    node = make_node()
    session = node.join(old)
    assert supernode.ask_admin("/v1/drain", "POST").status in (200, 204)
    assert node.hello(full=True)["draining"] is True
    assert supernode.post(PATH_EXCHANGE, node.session(new).message()).status == 503
    assert session.pull() == old_data


@pytest.mark.limit(120)
def test_a_task_is_forgotten_when_nobody_is_in_it(origin, supernode, make_node):
    digest, data = add_blob(origin, MIB)
    session = make_node().session(digest)
    assert session.pull() == data
    wait_until(lambda: supernode.tasks()["tasks"] == [], "the task to be forgotten", limit_s=60)
    assert make_node("node-2").session(digest).pull() == data
    assert bytes_from_origin(origin, digest) == len(data)
