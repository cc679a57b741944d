"""What a tag means: asked seldom, checked by HEAD, kept working while upstream is away."""
import pytest

from lib import faults
from lib.image import make_image, make_index
from lib.proxy import wait_until

REPO = "library/web"
ALWAYS_ASK = ["--tag-fresh", "0s"]

AWAY = {
    "503": faults.status(503),
    "500": faults.status(500),
    "429": faults.too_many(60),
    "closed": faults.close(),
    "reset": faults.reset(),
    "silent": faults.hang(),
    "no http": faults.garbage(),
}


@pytest.fixture
def asking(origin, run_darter):
    """A daemon that trusts no tag without asking."""
    return run_darter({"test.local": [origin.url]}, ALWAYS_ASK)


def test_a_fresh_tag_is_not_asked_for_again(darter, origin, image):
    darter.manifest(REPO, "latest")
    origin.forget()
    for _ in range(5):
        assert darter.manifest(REPO, "latest").header("X-Cache") == "HIT"
        assert darter.manifest(REPO, "latest", method="HEAD").header("X-Cache") == "HIT"
    assert origin.requests == []


def test_a_tag_that_is_checked_costs_a_head_and_no_get(asking, origin, image):
    """Docker Hub counts GETs of manifests; HEADs are free."""
    asking.manifest(REPO, "latest")
    origin.forget()
    for _ in range(3):
        assert asking.manifest(REPO, "latest").body == image.manifest
    assert origin.count(kind="manifest", method="HEAD") >= 3
    assert origin.count(kind="manifest", method="GET") == 0


def test_a_pull_costs_upstream_one_get_for_each_manifest(asking, origin):
    """As containerd pulls: HEAD of the tag, GET of the index, GET of the child."""
    child = make_image()
    index = origin.add(REPO, make_index([child]), "multi")
    for _ in range(2):
        assert asking.manifest(REPO, "multi", method="HEAD").status == 200
        assert asking.manifest(REPO, index.digest).status == 200
        assert asking.manifest(REPO, child.digest).status == 200
    assert origin.count(kind="manifest", method="GET") == 2


def test_a_moved_tag_is_noticed(asking, origin, image):
    assert asking.manifest(REPO, "latest").body == image.manifest
    other = origin.add(REPO, make_image(), "latest")
    response = asking.manifest(REPO, "latest")
    assert response.body == other.manifest and response.header("X-Cache") == "MISS", response
    assert asking.manifest(REPO, image.digest).body == image.manifest


def test_a_fresh_tag_ends_its_freshness(run_darter, origin, image):
    darter = run_darter({"test.local": [origin.url]}, ["--tag-fresh", "300ms"])
    darter.manifest(REPO, "latest")
    other = origin.add(REPO, make_image(), "latest")
    wait_until(lambda: darter.manifest(REPO, "latest").body == other.manifest, "the new image")


@pytest.mark.parametrize("fault", AWAY.values(), ids=AWAY.keys())
def test_a_cached_tag_works_while_upstream_is_away(run_darter, origin, image, fault):
    asking = run_darter({"test.local": [origin.url]}, ALWAYS_ASK + ["--tag-budget", "300ms"])
    asking.pull(REPO, "latest", image)
    origin.misbehave(fault)
    response = asking.manifest(REPO, "latest", timeout_s=10)
    assert response.status == 200 and response.body == image.manifest, response
    assert response.header("X-Cache") == "STALE"
    head = asking.manifest(REPO, "latest", method="HEAD", timeout_s=10)
    assert head.status == 200 and head.header("X-Cache") == "STALE", head
    for digest, data in image.blobs.items():
        assert asking.blob(REPO, digest, timeout_s=10).body == data


def test_a_cached_tag_works_while_upstream_refuses_connections(asking, origin, image):
    asking.pull(REPO, "latest", image)
    origin.close()
    assert asking.pull(REPO, "latest", image).header("X-Cache") == "STALE"


def test_a_cached_tag_works_after_a_restart_without_upstream(asking, origin, image):
    asking.pull(REPO, "latest", image)
    origin.close()
    asking.restart()
    assert asking.pull(REPO, "latest", image).header("X-Cache") == "STALE"


def test_a_stale_tag_is_fresh_again_when_upstream_is_back(asking, origin, image):
    asking.manifest(REPO, "latest")
    origin.misbehave(faults.status(503))
    assert asking.manifest(REPO, "latest").header("X-Cache") == "STALE"
    origin.behave()
    other = origin.add(REPO, make_image(), "latest")
    wait_until(lambda: asking.manifest(REPO, "latest").body == other.manifest, "the new image")


def test_a_tag_too_old_is_not_served(run_darter, origin, image):
    darter = run_darter({"test.local": [origin.url]}, ALWAYS_ASK + ["--tag-stale", "0s"])
    darter.manifest(REPO, "latest")
    origin.misbehave(faults.status(503))
    assert darter.manifest(REPO, "latest").status == 503


def test_a_manifest_by_digest_is_never_asked_for_again(asking, origin, image):
    asking.manifest(REPO, image.digest)
    origin.forget()
    origin.misbehave(faults.status(503))
    for _ in range(3):
        assert asking.manifest(REPO, image.digest).body == image.manifest
    assert origin.count(kind="manifest", method="GET") == 0


def test_a_deleted_tag_is_gone(asking, origin, image):
    assert asking.manifest(REPO, "latest").status == 200
    del origin.repository(REPO).tags["latest"]
    response = asking.manifest(REPO, "latest")
    assert response.status == 404 and response.error_codes == ["MANIFEST_UNKNOWN"], response


def test_a_tag_pushed_after_a_404_appears_soon(darter, origin, image):
    """A build server pushes, and pulls at once."""
    assert darter.manifest(REPO, "new").status == 404
    new = origin.add(REPO, make_image(), "new")
    wait_until(lambda: darter.manifest(REPO, "new").body == new.manifest, "the new tag")


def test_too_many_requests_upstream_never_reach_the_client_as_429(darter, origin, image):
    origin.misbehave(faults.too_many(3600))
    assert darter.manifest(REPO, "latest").status == 503
    assert darter.blob(REPO, image.layers[0]).status == 503


def test_retry_after_is_respected(run_darter, origin, image):
    darter = run_darter({"test.local": [origin.url]}, ["--head-deadline", "1s"])
    origin.misbehave(faults.too_many(3600), times=1)
    assert darter.manifest(REPO, "latest").status == 503
    for _ in range(20):
        darter.manifest(REPO, "latest")
    # A last resort may be tried, but nobody hammers a registry that asked for silence.
    repeated = darter.metric("darter_requests_repeated_total")  # where the machine stood still
    assert len(origin.requests) <= 22 + repeated <= 66


def test_rate_limit_and_warning_headers_are_shown(darter, origin, image):
    origin.extra_headers = [("Warning", '299 - "this registry will move"'),
                            ("RateLimit-Remaining", "76;w=21600")]
    response = darter.manifest(REPO, "latest")
    assert response.header("Warning") == '299 - "this registry will move"'


def test_what_the_client_cannot_read_is_passed_through(darter, origin, image):
    """The cached type is not in his Accept: the registry may have another form for him."""
    darter.manifest(REPO, "latest")
    origin.is_accept_strict = True
    old = ("Accept", "application/vnd.docker.distribution.manifest.v1+prettyjws")
    response = darter.get(f"/v2/{REPO}/manifests/latest", [old])
    assert response.status == 404, response
    passed_on = origin.select(kind="manifest")[-1]
    assert passed_on.header("accept") == old[1]
