"""Swarms in which somebody dies, is silent, is slow or lies: every survivor has the right bytes."""
import pytest

from lib import wire
from lib.clock import Stopwatch
from lib.peer import Peer, Refused
from lib.proxy import wait_until
from lib.swarm import MIB, REPOSITORY, Pull


def busiest(supernodes):
    """The supernode that handed out most: whose task it is, as seen from outside."""
    return max(supernodes, key=lambda supernode: supernode.host.carried()[0])


def test_a_quarter_of_the_nodes_is_killed(make_swarm):
    swarm = make_swarm(n_nodes=8)
    digest = swarm.add_blob(24 * MIB)
    pulls = swarm.pull_all(digest)
    swarm.when_moved(pulls, 0.4)
    for node in swarm.nodes[:2]:
        node.kill()
    swarm.must_be_right(pulls[2:])
    swarm.must_be_fetched(digest)


def test_a_supernode_is_killed_and_the_other_takes_over(make_swarm):
    swarm = make_swarm(n_supernodes=2, n_nodes=4, mbit=50)
    digest = swarm.add_blob(40 * MIB)
    pulls = swarm.pull_all(digest)
    swarm.when_moved(pulls, 0.3)
    dead = busiest(swarm.supernodes)
    heir, = [supernode for supernode in swarm.supernodes if supernode is not dead]
    handed_out = heir.host.carried()[0]
    dead.kill()
    wait_until(lambda: heir.host.carried()[0] > handed_out + 2 * MIB, "the take-over", 15)
    swarm.must_be_right(pulls)
    # What the dead one had and nobody else, and what came from mirrors until the take-over; without
    # one, each of the four would have fetched two thirds of it.
    assert swarm.origin_bytes(digest) < 2
    # Some go straight to the heir, some ask registries for a moment first.
    wait_until(lambda: any(event["takeover"] == "yes" for node in swarm.nodes
                           for event in node.events("swarm_joined")), "the word of a node")


def test_both_supernodes_are_killed_and_the_mirrors_serve(make_swarm):
    swarm = make_swarm(n_supernodes=2, n_nodes=3)
    digest = swarm.add_blob(24 * MIB)
    pulls = swarm.pull_all(digest)
    swarm.when_moved(pulls, 0.3)
    for supernode in swarm.supernodes:
        supernode.kill()
    swarm.must_be_right(pulls)
    wait_until(lambda: any(node.events("swarm_lost") for node in swarm.nodes), "the loss")
    assert swarm.sources()["origin"] > 0


def test_a_supernode_that_stands_still_and_comes_back(make_swarm):
    swarm = make_swarm(n_nodes=3, mbit=50)
    digest = swarm.add_blob(16 * MIB)
    supernode, = swarm.supernodes
    pulls = swarm.pull_all(digest)
    swarm.when_moved(pulls, 0.3)
    n_asked = len(swarm.origin.requests)
    supernode.freeze()
    watch = Stopwatch()
    wait_until(lambda: len(swarm.origin.requests) > n_asked, "nodes at the registry", 10)
    assert watch.seconds() < 4  # a second; after 6.7 s a client is helped out in any case
    swarm.must_be_right(pulls)
    supernode.thaw()
    wait_until(lambda: all(node.sees_supernodes() for node in swarm.nodes), "the supernode", 20)
    again = swarm.add_blob(8 * MIB)
    swarm.must_be_right(swarm.pull_all(again))
    swarm.must_be_fetched(again)


def test_the_registry_is_cut_off_after_the_seed_has_half(make_swarm):
    """Everybody gets what is in the site; the rest follows when the registry is back."""
    swarm = make_swarm(n_nodes=4)
    digest = swarm.add_blob(24 * MIB)
    pulls = swarm.pull_all(digest)
    wait_until(lambda: swarm.origin_bytes(digest) > 0.5, "the seed to have half", 20)
    swarm.origin_host.cut()
    swarm.when_moved(pulls, 0.4)
    swarm.origin_host.plug()
    swarm.must_be_right(pulls)
    assert swarm.origin_bytes(digest) < 1.3 + swarm.n_late(digest)


def test_a_peer_at_a_twentieth_of_the_speed(make_swarm):
    swarm = make_swarm(n_nodes=4)
    slow = swarm.add_node(mbit=swarm.mbit / 20)
    swarm.everybody_is_known()
    digest = swarm.add_blob(8 * MIB)
    pulls = swarm.pull_all(digest)
    swarm.must_be_right(pulls[:4])
    assert pulls[4].node is slow and pulls[4].seconds is None  # nobody waited for it
    swarm.must_be_right(pulls[4:])
    swarm.must_be_fetched(digest)


def strikes(swarm, name):
    return swarm.supernodes[0].node(name)["strikes"]


def test_a_peer_whose_file_changed_under_it(make_swarm):
    """It verified the blob when it came: it does not know that it lies now."""
    swarm = make_swarm(n_nodes=3)
    liar, *honest = swarm.nodes
    digest = swarm.add_blob(16 * MIB)
    swarm.must_be_right([Pull(liar, digest)])
    with open(liar.blob_path(digest), "r+b") as file:
        file.write(bytes(16 * MIB))
    swarm.must_be_right([Pull(node, digest) for node in honest])
    swarm.must_be_fetched(digest)


def make_liar(swarm, digest):
    """Says that it holds the blob, and serves zeros."""
    liar = Peer(swarm, "liar")
    liar.serve(lambda _digest, first, last: bytes(last - first + 1))
    liar.hello(have=[(digest, swarm.sizes[digest])])
    return liar


def test_the_only_holder_lies(make_swarm):
    """Nobody knows a checksum yet: a client may be cut short, never told that wrong bytes are all,
    and whoever asks again gets the right ones."""
    swarm = make_swarm(n_nodes=2)
    digest = swarm.add_blob(8 * MIB)
    liar = make_liar(swarm, digest)
    pulls = swarm.pull_all(digest)
    swarm.wait(pulls)
    assert all(pull.is_right or "cut short" in pull.error for pull in pulls), pulls
    swarm.must_be_right(swarm.pull_all(digest))
    liar.close()


def test_a_peer_that_lies_is_struck_and_left_alone(make_swarm):
    swarm = make_swarm(n_nodes=4)
    digest = swarm.add_blob(24 * MIB)
    swarm.must_be_right([Pull(swarm.nodes[0], digest)])
    liar = make_liar(swarm, digest)
    piece_size = liar.join(digest, REPOSITORY)["piece_size"]
    n_pieces = swarm.sizes[digest] // piece_size
    liar.join(digest, REPOSITORY, have=(swarm.sizes[digest], piece_size, range(n_pieces)))
    swarm.must_be_right(swarm.pull_all(digest, swarm.nodes[1:]))
    assert liar.n_served > 0
    wait_until(lambda: strikes(swarm, "liar") > 0, "the strike")
    swarm.must_be_fetched(digest)
    # Struck for one blob, it is not asked for another one either.
    other = swarm.add_blob(8 * MIB)
    liar.hello(have=[(other, swarm.sizes[other])])
    n_served = liar.n_served
    swarm.must_be_right(swarm.pull_all(other))
    assert liar.n_served == n_served
    liar.close()


def test_a_peer_that_only_accuses_gets_nobody_banned(make_swarm):
    swarm = make_swarm(n_nodes=2)
    digest = swarm.add_blob(8 * MIB)
    swarm.must_be_right(swarm.pull_all(digest))
    accuser = Peer(swarm, "accuser")
    accuser.hello()
    reply = accuser.join(digest, REPOSITORY)
    accused = set()
    while len(accused) < 3:  # both nodes and the seed; it is given nothing then for a minute
        failed = [[piece, source, "bad-sum"] for piece, source, *_ in reply.get("assignments", [])]
        accused.update(source for _, source, _ in failed)
        reply = accuser.exchange(digest, failed=failed)
    supernode, = swarm.supernodes
    wait_until(lambda: {line["node"] for line in supernode.events("accusation_unfounded")}
               >= {node.name for node in swarm.nodes}, "the supernode to look for itself")
    late = swarm.add_node()
    swarm.everybody_is_known()
    swarm.must_be_right([Pull(late, digest)])
    assert late.sources()["peer"] > 0
    assert all(strikes(swarm, node.name) == 0 for node in swarm.nodes)
    accuser.close()


def test_without_the_cluster_key_nobody_joins_or_reads(make_swarm):
    swarm = make_swarm(n_nodes=1)
    digest = swarm.add_blob(2 * MIB)
    swarm.must_be_right(swarm.pull_all(digest))
    stranger = Peer(swarm, "stranger", secret="some other secret")
    for ask in (stranger.hello, lambda: stranger.join(digest, REPOSITORY)):
        with pytest.raises(Refused) as refused:
            ask()
        assert refused.value.status == 401
    for member in (swarm.nodes[0], swarm.supernodes[0]):
        with stranger.host.inside():
            reply = wire.fetch(member.peer or member.address, "GET", f"/v1/blobs/{digest}",
                               [("Range", "bytes=0-99")])
        assert reply.status == 401
    stranger.close()


def test_a_peer_of_another_site_is_refused(make_swarm):
    swarm = make_swarm(n_nodes=1)
    digest = swarm.add_blob(2 * MIB)
    swarm.must_be_right(swarm.pull_all(digest))
    stranger = Peer(swarm, "stranger", site="elsewhere")
    reply = stranger.join(digest, REPOSITORY)
    assert reply["state"] == "gone" and reply["code"] == "EDENIED", reply
    stranger.close()
