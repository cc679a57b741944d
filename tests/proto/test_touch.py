"""`touch`: a registry's record of pulls stays true although the pulls are answered from the cache."""
import pytest

from lib import faults
from lib.auth import Auth
from lib.image import make_image
from lib.proxy import wait_until

PUBLIC, PRIVATE = "library/web", "team/private"


def config_of(origin, touch="1h", more=""):
    line = f"    touch: {touch}\n" if touch else ""
    return f"""
upstreams:
  - name: test.local
{line}{more}    endpoints:
      - url: {origin.url}
"""


def gets(origin, ref=None):
    """Manifests that the registry has answered with their bytes: what Harbor counts as pulls."""
    return [request for request in origin.select(kind="manifest", method="GET")
            if ref in (None, request.ref) and request.status == 200]


@pytest.fixture
def warm(run_darter, origin, image, tmp_path):
    """A daemon that has the image from an earlier run, and the registry's record is empty."""
    def start(touch="1h", options=()):
        darter = run_darter({}, options, config=config_of(origin, touch), folder=str(tmp_path))
        darter.pull(PUBLIC, "latest", image)
        wait_until(lambda: image.digest in darter.ask_admin("/v1/cache").body.decode(), "the entry")
        darter.restart()
        origin.forget()
        return darter
    return start


def test_it_is_off_unless_asked_for(warm, origin, image):
    darter = warm(touch=None)
    for ref in ("latest", image.digest):
        assert darter.manifest(PUBLIC, ref).header("X-Cache") == "HIT"
    assert darter.metric("darter_cache_hits_total") > 0
    darter.stop()  # whatever was on its way is over now
    darter.start()
    assert gets(origin) == []


@pytest.mark.parametrize("by_tag", [True, False], ids=["tag", "digest"])
def test_a_cached_pull_is_told_once(warm, origin, image, by_tag):
    """By the name the client used, as the registry would have seen it without us."""
    darter = warm()
    ref = "latest" if by_tag else image.digest
    for _ in range(5):
        response = darter.manifest(PUBLIC, ref)
        assert response.body == image.manifest and response.header("X-Cache") == "HIT"
    wait_until(lambda: gets(origin), "the registry to see a pull")
    assert darter.manifest(PUBLIC, "latest").status == 200  # of the same manifest
    assert darter.manifest(PUBLIC, image.digest).status == 200
    assert darter.metric("darter_touches_total") == 1
    assert [request.ref for request in gets(origin)] == [ref]


def test_a_pull_that_the_registry_saw_needs_no_telling(run_darter, origin, image):
    darter = run_darter({}, config=config_of(origin))
    for _ in range(3):
        darter.pull(PUBLIC, "latest", image)
    assert len(gets(origin)) == 1
    assert darter.metric("darter_touches_total") == 0


def test_head_is_no_pull(warm, origin, image):
    darter = warm()
    for ref in ("latest", image.digest):
        assert darter.manifest(PUBLIC, ref, method="HEAD").status == 200
    assert darter.metric("darter_touches_total") == 0


def test_it_is_told_again_when_it_is_due(warm, origin, image):
    darter = warm(touch="100ms")

    def told_three_times():
        assert darter.manifest(PUBLIC, image.digest).status == 200
        return len(gets(origin)) >= 3

    wait_until(told_three_times, "three pulls in the registry's record")


def test_the_client_waits_for_nothing(warm, origin, image):
    darter = warm()
    gate = faults.Gate()
    origin.misbehave(gate, kind="manifest", method="GET")
    for _ in range(3):
        assert darter.manifest(PUBLIC, "latest", timeout_s=15).body == image.manifest
    assert gate.reached.wait(10)  # by now it is on its way, and nobody waits
    darter.pull(PUBLIC, "latest", image)
    assert darter.metric("darter_touches_total") == 1
    gate.open()


@pytest.mark.parametrize("fault", [faults.status(503), faults.status(403), faults.status(404),
                                   faults.reset(), faults.html()],
                         ids=["503", "403", "404", "reset", "login page"])
def test_a_failure_harms_no_pull(warm, origin, image, fault):
    darter = warm(touch="100ms")
    origin.misbehave(fault, kind="manifest", method="GET", times=1)
    darter.pull(PUBLIC, "latest", image)

    def told_at_last():
        darter.pull(PUBLIC, "latest", image)
        return gets(origin)

    wait_until(told_at_last, "a pull in the registry's record")


def test_it_travels_with_the_header_of_the_client(run_darter, origin, tmp_path):
    origin.auth = Auth(users={"alice": "pw", "bob": "pw"}, may={"alice": {PRIVATE}, "bob": {PRIVATE}})
    image = origin.add(PRIVATE, make_image(), "latest")
    tokens = [origin.auth.token_for(user, PRIVATE) for user in ("alice", "bob")]
    alice, bob = [[("Authorization", f"Bearer {token}")] for token in tokens]
    darter = run_darter({}, config=config_of(origin), folder=str(tmp_path))
    darter.pull(PRIVATE, "latest", image, alice)
    wait_until(lambda: image.digest in darter.ask_admin("/v1/cache").body.decode(), "the entry")
    darter.restart()
    origin.forget()
    assert darter.manifest(PRIVATE, "latest", []).status == 401  # nothing is told for a stranger
    assert darter.manifest(PRIVATE, "latest", bob).body == image.manifest
    wait_until(lambda: gets(origin), "the registry to see a pull")
    assert [request.header("authorization") for request in gets(origin)] == [bob[0][1]]
    assert not any(token in darter.log for token in tokens)


def test_it_gets_an_anonymous_token_where_the_registry_wants_one(run_darter, origin):
    """Harbor lets nobody read without a token; for a public image that is cached we want none."""
    origin.auth = Auth("harbor", users={"alice": "pw"}, may={"alice": {PUBLIC}}, public={PUBLIC})
    image = origin.add(PUBLIC, make_image(), "latest")
    darter = run_darter({}, config=config_of(origin, "100ms"))
    token = [("Authorization", f"Bearer {origin.auth.token_for('alice', PUBLIC)}")]
    darter.pull(PUBLIC, "latest", image, token)

    def told_for_a_stranger():
        assert darter.manifest(PUBLIC, image.digest).status in (200, 401)  # until it is known public
        return [request for request in gets(origin)
                if request.header("authorization") not in (None, token[0][1])]

    wait_until(told_for_a_stranger, "the registry to see a pull")


@pytest.mark.parametrize("mode", ["bearer", "basic", "harbor"])
def test_our_own_account_tells_what_it_served(run_darter, origin, tmp_path, mode):
    origin.auth = Auth(mode, users={"robot": "robot-secret"}, may={"robot": {PRIVATE}})
    image = origin.add(PRIVATE, make_image(), "latest")
    (tmp_path / "password").write_text("robot-secret\n")
    (tmp_path / "password").chmod(0o600)
    config = config_of(origin, more="    own-credentials: true\n") + (
        f"        username: robot\n        password-file: {tmp_path}/password\n")
    darter = run_darter({}, config=config, folder=str(tmp_path))
    darter.pull(PRIVATE, "latest", image)
    wait_until(lambda: image.digest in darter.ask_admin("/v1/cache").body.decode(), "the entry")
    darter.restart()
    origin.forget()
    darter.pull(PRIVATE, "latest", image, [("Authorization", "Bearer of-a-client")])
    wait_until(lambda: len(gets(origin)) == 1, "the registry to see a pull")
    assert gets(origin)[0].header("authorization") != "Bearer of-a-client"
