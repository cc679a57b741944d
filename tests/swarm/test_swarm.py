"""Swarms in which nobody fails: one fetch from the registry, whoever comes when, and two sites."""
from lib.swarm import MIB, Pull


def test_without_a_swarm_every_node_asks_the_registry(make_swarm):
    """What a swarm is for, and the proof that the links are as slow as they say."""
    swarm = make_swarm(n_supernodes=0, n_nodes=0)
    swarm.add_nodes(4, is_alone=True)
    digest = swarm.add_blob(4 * MIB)
    last_s = swarm.must_be_right(swarm.pull_all(digest))
    swarm.must_be_fetched(digest, times=4)
    assert last_s > 3.8 * swarm.ideal_s(digest)


def test_five_nodes_fetch_a_blob_once_from_the_registry(make_swarm):
    swarm = make_swarm(n_supernodes=2)
    digest = swarm.add_blob(24 * MIB)
    swarm.must_be_right(swarm.pull_all(digest))
    swarm.must_be_fetched(digest)  # how near to S/B they are, the bench measures
    sources = swarm.sources()
    assert sources["origin"] + sources["mirror"] <= swarm.n_late(digest) * 24 * MIB
    assert sources["peer"] > sources["seed"] > 0
    assert sum(sources.values()) >= 5 * 24 * MIB


def test_small_blobs_take_the_same_way(make_swarm):
    swarm = make_swarm(n_nodes=3)
    digests = [swarm.add_blob(size) for size in (1, 10 * 1024, 300_000)]
    for digest in digests:
        swarm.must_be_right(swarm.pull_all(digest))
        swarm.must_be_fetched(digest)


def test_nodes_that_start_one_after_the_other(make_swarm):
    swarm = make_swarm(n_nodes=4)
    digest = swarm.add_blob(24 * MIB)
    pulls = []
    for node in swarm.nodes:
        pulls.append(Pull(node, digest))
        swarm.when_moved(pulls[-1:], 0.2)
    swarm.must_be_right(pulls)
    swarm.must_be_fetched(digest)


def test_a_late_node_takes_from_those_who_have_it_all(make_swarm):
    swarm = make_swarm(n_nodes=3)
    digest = swarm.add_blob(16 * MIB)
    swarm.must_be_right(swarm.pull_all(digest))
    late = swarm.add_node()
    swarm.everybody_is_known()
    swarm.must_be_right([Pull(late, digest)])
    swarm.must_be_fetched(digest)
    assert late.sources()["peer"] > 0


def test_a_supernode_that_was_restarted_still_has_its_seed(make_swarm):
    swarm = make_swarm(n_nodes=2)
    first, second = swarm.nodes
    digest = swarm.add_blob(16 * MIB)
    swarm.must_be_right([Pull(first, digest)])
    first.kill()  # now only the supernode has it
    swarm.supernodes[0].restart()
    swarm.everybody_is_known()
    swarm.must_be_right([Pull(second, digest)])
    swarm.must_be_fetched(digest)
    assert second.sources()["seed"] >= 16 * MIB or swarm.n_late(digest)


def test_what_a_node_pulled_before_it_joined_comes_from_it(make_swarm):
    """A supernode that never had the blob need not fetch it either."""
    swarm = make_swarm(n_nodes=1)
    holder = swarm.nodes[0]
    digest = swarm.add_blob(8 * MIB)
    swarm.must_be_right([Pull(holder, digest)])
    swarm.supernodes[0].forget_everything()
    late = swarm.add_node()
    swarm.everybody_is_known()
    swarm.must_be_right([Pull(late, digest)])
    swarm.must_be_fetched(digest)
    assert late.sources()["peer"] >= 8 * MIB or swarm.n_late(digest)


def test_two_sites_never_exchange_a_byte(make_swarm):
    swarm = make_swarm(n_supernodes=0, n_nodes=0)
    sites = {}
    for site in ("east", "west"):
        supernodes = swarm.add_supernode(site)
        sites[site] = supernodes + swarm.add_nodes(2, site=site)
    swarm.everybody_is_known()
    digest = swarm.add_blob(8 * MIB)
    swarm.must_be_right(swarm.pull_all(digest))
    swarm.must_be_fetched(digest, times=2)
    for site, other in (("east", "west"), ("west", "east")):
        foreign = {member.host.address for member in sites[other]}
        for member in sites[site]:
            assert not member.host.neighbours() & foreign, member.name


def test_a_node_that_names_a_supernode_of_another_site_uses_its_mirrors(make_swarm):
    swarm = make_swarm(n_nodes=1)
    stranger = swarm.add_node(site="elsewhere", options=[
        "--supernode", swarm.supernodes[0].url])
    digest = swarm.add_blob(4 * MIB)
    swarm.must_be_right(swarm.pull_all(digest))
    assert stranger.sources() == {"peer": 0, "seed": 0, "mirror": 0, "origin": 4 * MIB}
    assert stranger.host.address not in swarm.nodes[0].host.neighbours()
