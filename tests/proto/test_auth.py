"""Who may read what: a cache hit never shows a private image to a caller upstream would refuse."""
import base64
import json
import threading

import pytest

from lib import faults
from lib.auth import Auth
from lib.image import Image, make_image
from lib.proxy import wait_until

PRIVATE, OTHER, PUBLIC = "team/private", "team/other", "library/web"
ALWAYS_ASK = ["--tag-fresh", "0s", "--grant-ttl", "0s"]


@pytest.fixture
def auth(origin):
    origin.auth = Auth(users={"alice": "secret-of-alice", "bob": "secret-of-bob"},
                       may={"alice": {PRIVATE, OTHER}, "bob": {OTHER}}, public={PUBLIC})
    return origin.auth


@pytest.fixture
def image(origin, auth):
    return origin.add(PRIVATE, make_image([1000, 200_000]), "latest")


def bearer(token):
    return [("Authorization", f"Bearer {token}")]


def basic(user, password):
    word = base64.b64encode(f"{user}:{password}".encode()).decode()
    return [("Authorization", f"Basic {word}")]


def assert_refused(darter, image, headers, statuses=(401,)):
    for ref in ("latest", image.digest):
        for method in ("GET", "HEAD"):
            response = darter.manifest(PRIVATE, ref, headers, method=method)
            assert response.status in statuses, response
            assert image.manifest not in response.body
    for digest, data in image.blobs.items():
        for range_ in ([], [("Range", "bytes=0-99")]):
            response = darter.blob(PRIVATE, digest, [*headers, *range_])
            assert response.status in statuses, response
            assert data[:100] not in response.body
        assert darter.blob(PRIVATE, digest, headers, method="HEAD").status in statuses


def test_a_caller_with_the_right_token_gets_the_image(darter, auth, image):
    darter.pull(PRIVATE, "latest", image, bearer(auth.token_for("alice", PRIVATE)))


def test_a_cached_private_image_is_refused_without_a_token(darter, auth, image):
    darter.pull(PRIVATE, "latest", image, bearer(auth.token_for("alice", PRIVATE)))
    assert_refused(darter, image, [])


def test_a_cached_private_image_is_refused_with_a_made_up_token(darter, auth, image):
    darter.pull(PRIVATE, "latest", image, bearer(auth.token_for("alice", PRIVATE)))
    assert_refused(darter, image, bearer("made-up"))


def test_a_cached_private_image_is_refused_with_the_token_of_another_user(darter, auth, image):
    darter.pull(PRIVATE, "latest", image, bearer(auth.token_for("alice", PRIVATE)))
    assert_refused(darter, image, bearer(auth.token_for("bob", PRIVATE)))


def test_a_cached_private_image_is_refused_with_a_token_for_another_repository(darter, auth, image):
    darter.pull(PRIVATE, "latest", image, bearer(auth.token_for("alice", PRIVATE)))
    assert_refused(darter, image, bearer(auth.token_for("alice", OTHER)))


def test_a_cached_private_image_is_refused_with_basic_credentials_upstream_refuses(
        darter, auth, image):
    darter.pull(PRIVATE, "latest", image, bearer(auth.token_for("alice", PRIVATE)))
    assert_refused(darter, image, basic("alice", "wrong"))


def test_refusals_survive_a_restart(darter, auth, image):
    darter.pull(PRIVATE, "latest", image, bearer(auth.token_for("alice", PRIVATE)))
    darter.restart()
    assert_refused(darter, image, [])
    darter.pull(PRIVATE, "latest", image, bearer(auth.token_for("alice", PRIVATE)))


def test_a_blob_is_not_served_through_a_repository_it_does_not_belong_to(
        darter, origin, auth, image):
    """bob may read OTHER; he may not fetch PRIVATE's blobs through it."""
    origin.add(OTHER, make_image(), "latest")
    darter.pull(PRIVATE, "latest", image, bearer(auth.token_for("alice", PRIVATE)))
    bob = bearer(auth.token_for("bob", OTHER))
    assert darter.manifest(OTHER, "latest", bob).status == 200
    for digest, data in image.blobs.items():
        response = darter.blob(OTHER, digest, bob)
        assert response.status == 404, response
        assert data[:100] not in response.body
        assert darter.blob(OTHER, digest, bob, method="HEAD").status == 404
    for ref in (image.digest,):
        assert darter.manifest(OTHER, ref, bob).status == 404


def test_a_blob_two_repositories_share_is_fetched_once(darter, origin, auth, image):
    origin.add(OTHER, image, "latest")
    darter.pull(PRIVATE, "latest", image, bearer(auth.token_for("alice", PRIVATE)))
    origin.forget()
    darter.pull(OTHER, "latest", image, bearer(auth.token_for("bob", OTHER)))
    assert origin.count(method="GET", kind="blob") == 0


def test_a_manifest_of_mine_cannot_claim_your_blobs(darter, origin, auth, image):
    """Registries check that the layers of a pushed manifest exist, but not those with `urls`: bob can
    name the private layers so, in a repository of his own. Upstream would not give him the bytes."""
    darter.pull(PRIVATE, "latest", image, bearer(auth.token_for("alice", PRIVATE)))
    document = json.loads(image.manifest)
    for layer in document["layers"]:
        layer["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
        layer["urls"] = ["http://127.0.0.1:1/nowhere"]
    thief = Image(json.dumps(document).encode(), image.media_type, {})
    origin.add(OTHER, thief, "stolen")
    bob = bearer(auth.token_for("bob", OTHER))
    assert darter.manifest(OTHER, "stolen", bob).status == 200
    for digest in image.layers:
        response = darter.blob(OTHER, digest, bob)
        assert response.status == 404, response


def test_who_joins_a_fill_is_asked_for_his_own_right(darter, origin, auth, image):
    alice = bearer(auth.token_for("alice", PRIVATE))
    digest = image.layers[1]
    assert darter.manifest(PRIVATE, "latest", alice).status == 200
    gate = faults.Gate(after=100)
    origin.misbehave(gate, kind="blob", method="GET", when=auth.allows)
    results = []
    thread = threading.Thread(target=lambda: results.append(darter.blob(PRIVATE, digest, alice)))
    thread.start()
    try:
        assert gate.reached.wait(20)
        assert darter.blob(PRIVATE, digest, timeout_s=10).status == 401
        bob = bearer(auth.token_for("bob", PRIVATE))
        assert darter.blob(PRIVATE, digest, bob, timeout_s=10).status == 401
    finally:
        gate.open()
        thread.join()
    assert results[0].body == image.blobs[digest]


def test_the_challenge_of_upstream_is_passed_on_unchanged(darter, origin, image):
    for target in ("/v2/", f"/v2/{PRIVATE}/manifests/latest", f"/v2/{PRIVATE}/blobs/{image.layers[0]}",
                   f"/v2/{PRIVATE}/tags/list"):
        response = darter.get(target)
        assert response.status == 401, response
        refused = origin.select(path=target, status=401)
        assert refused, f"{target} was not asked upstream"
        expected = origin.auth.challenge(refused[-1], origin.url)
        assert response.all("WWW-Authenticate") == [expected]
        assert "UNAUTHORIZED" in response.error_codes


def test_the_challenge_of_ping_is_known_while_upstream_is_away(darter, origin, auth):
    first = darter.get("/v2/")
    assert first.status == 401
    origin.close()
    for _ in range(8):  # each a connection of its own: whichever loop takes it knows the answer
        again = darter.get("/v2/", timeout_s=10)
        assert again.status == 401 and again.all("WWW-Authenticate") == first.all("WWW-Authenticate")


def test_a_slow_first_challenge_is_waited_for(darter, origin, auth):
    gate = threading.Event()

    def late(exchange):
        exchange.origin.wait(gate, 20)
        exchange.send()

    origin.misbehave(late, kind="ping", times=1)
    timer = threading.Timer(2.5, gate.set)  # longer than one is waited for that is only asked again
    timer.start()
    try:
        assert darter.get("/v2/", timeout_s=10).status == 401
    finally:
        gate.set()
        timer.join()


def test_a_client_that_follows_the_challenge_gets_a_public_image(darter, origin, auth):
    image = origin.add(PUBLIC, make_image(), "latest")
    refused = darter.manifest(PUBLIC, "latest")
    if refused.status == 401:
        darter.pull(PUBLIC, "latest", image, bearer(auth.token_for(None, PUBLIC)))
    else:
        assert refused.status == 200 and refused.body == image.manifest


def test_a_revoked_token_stops_working_when_its_grant_ends(run_darter, origin, auth, image):
    darter = run_darter({"test.local": [origin.url]}, ["--grant-ttl", "1s"])
    token = auth.token_for("alice", PRIVATE)
    darter.pull(PRIVATE, "latest", image, bearer(token))
    auth.revoke(token)
    wait_until(lambda: darter.blob(PRIVATE, image.layers[0], bearer(token)).status == 401,
               "the end of the grant")
    wait_until(lambda: darter.manifest(PRIVATE, image.digest, bearer(token)).status == 401,
               "the end of the grant for manifests")


def test_within_its_grant_a_caller_costs_upstream_nothing(darter, origin, auth, image):
    alice = bearer(auth.token_for("alice", PRIVATE))
    darter.pull(PRIVATE, "latest", image, alice)
    origin.forget()
    for digest in image.blobs:
        assert darter.blob(PRIVATE, digest, alice).status == 200
    assert origin.requests == []


@pytest.mark.parametrize("status, code", [(401, "UNAUTHORIZED"), (403, "DENIED"),
                                          (404, "MANIFEST_UNKNOWN")])
def test_a_definite_refusal_is_obeyed_although_a_copy_is_here(
        run_darter, origin, auth, image, status, code):
    darter = run_darter({"test.local": [origin.url]}, ALWAYS_ASK)
    alice = bearer(auth.token_for("alice", PRIVATE))
    darter.pull(PRIVATE, "latest", image, alice)
    origin.misbehave(faults.status(status), repo=PRIVATE)
    response = darter.manifest(PRIVATE, "latest", alice)
    assert response.status == status, response
    assert response.error_codes[0] in (code, "NAME_UNKNOWN", "UNAUTHORIZED", "DENIED"), response
    for digest in image.blobs:
        assert darter.blob(PRIVATE, digest, alice).status == status


def test_a_standby_is_not_asked_for_what_the_origin_refuses(run_darter, origin, standby, auth, image):
    """The standby has no locks; the origin's refusal counts."""
    standby.add(PRIVATE, image, "latest")
    darter = run_darter({"test.local": [origin.url, standby.url]})
    assert_refused(darter, image, [])


def test_a_policy_refusal_is_obeyed_for_a_cached_digest(run_darter, origin):
    """Harbor's 412 may come later for a digest that was fine yesterday."""
    image = origin.add(PUBLIC, make_image(), "latest")
    config = f"""
upstreams:
  - name: test.local
    revalidate: 1ms
    endpoints: [{origin.url}]
"""
    darter = run_darter({}, ["--tag-fresh", "0s"], config=config)
    darter.pull(PUBLIC, "latest", image)
    origin.policy_refuses.add(image.digest)
    for ref in ("latest", image.digest):
        for method in ("GET", "HEAD"):
            wait_until(lambda: darter.manifest(PUBLIC, ref, method=method).status == 412,
                       f"412 for {method} {ref}")
    origin.policy_refuses.clear()
    wait_until(lambda: darter.manifest(PUBLIC, "latest").status == 200, "the policy's end")


def test_upstream_away_known_callers_are_served_and_strangers_are_not(run_darter, origin, auth, image):
    darter = run_darter({"test.local": [origin.url]}, ALWAYS_ASK)
    alice = bearer(auth.token_for("alice", PRIVATE))
    darter.pull(PRIVATE, "latest", image, alice)
    origin.misbehave(faults.status(503))
    response = darter.manifest(PRIVATE, "latest", alice)
    assert response.status == 200 and response.body == image.manifest, response
    assert response.header("X-Cache") == "STALE"
    for digest, data in image.blobs.items():
        assert darter.blob(PRIVATE, digest, alice).body == data
    for stranger in ([], bearer("made-up"), bearer(auth.token_for("bob", PRIVATE))):
        assert_refused(darter, image, stranger, statuses=(401, 403, 404, 502, 503))


def test_grace_ends(run_darter, origin, auth, image):
    darter = run_darter({"test.local": [origin.url]}, ALWAYS_ASK + ["--grant-grace", "0s"])
    alice = bearer(auth.token_for("alice", PRIVATE))
    darter.pull(PRIVATE, "latest", image, alice)
    origin.misbehave(faults.status(503))
    wait_until(lambda: darter.blob(PRIVATE, image.layers[0], alice).status != 200, "the end of grace")


def test_the_token_of_one_caller_is_never_used_for_another(run_darter, origin, auth, image):
    darter = run_darter({"test.local": [origin.url]}, ALWAYS_ASK)
    token = auth.token_for("alice", PRIVATE)
    darter.pull(PRIVATE, "latest", image, bearer(token))
    origin.forget()
    for headers in ([], bearer("made-up")):
        darter.manifest(PRIVATE, "latest", headers)
        for digest in image.blobs:
            darter.blob(PRIVATE, digest, headers)
    assert origin.requests
    for request in origin.requests:
        assert token not in (request.header("authorization") or "")


def test_no_secret_is_in_the_log(darter, auth, image):
    token = auth.token_for("alice", PRIVATE)
    darter.pull(PRIVATE, "latest", image, bearer(token))
    darter.manifest(PRIVATE, "latest", basic("alice", "secret-of-alice"))
    darter.stop()
    encoded = base64.b64encode(b"alice:secret-of-alice").decode()
    for secret in (token, "secret-of-alice", encoded):
        assert secret not in darter.log
    darter.start()


def test_basic_credentials_reach_upstream_as_they_came(run_darter, origin):
    origin.auth = Auth("basic", users={"alice": "pw"}, may={"alice": {PRIVATE}})
    image = origin.add(PRIVATE, make_image(), "latest")
    darter = run_darter({"test.local": [origin.url]})
    assert darter.get("/v2/").header("WWW-Authenticate") == 'Basic realm="registry"'
    darter.pull(PRIVATE, "latest", image, basic("alice", "pw"))
    assert_refused(darter, image, basic("alice", "wrong"))
    assert_refused(darter, image, [])


def test_harbor_wants_a_token_for_public_projects_too(run_darter, origin):
    origin.auth = Auth("harbor", users={"robot$ci": "pw"}, public={PUBLIC},
                       may={"robot$ci": {PRIVATE}})
    public = origin.add(PUBLIC, make_image(), "latest")
    private = origin.add(PRIVATE, make_image(), "latest")
    darter = run_darter({"test.local": [origin.url]})
    assert darter.get("/v2/").status == 401
    darter.pull(PUBLIC, "latest", public, bearer(origin.auth.token_for(None, PUBLIC)))
    darter.pull(PRIVATE, "latest", private, basic("robot$ci", "pw"))
    assert_refused(darter, private, bearer(origin.auth.token_for(None, PRIVATE)))
    failed = darter.manifest(PRIVATE, "latest", bearer("expired"))
    assert failed.status == 401
    assert failed.header("WWW-Authenticate") == 'Basic realm="harbor"'


# ---- our own account ----

def own_account(origin, folder, user="robot$mirror", password="robot-secret"):
    path = folder / "password"
    path.write_text(password + "\n")
    path.chmod(0o600)
    return f"""
upstreams:
  - name: test.local
    own-credentials: true
    endpoints:
      - url: {origin.url}
        username: {user}
        password-file: {path}
"""


@pytest.mark.parametrize("mode", ["bearer", "basic", "harbor"])
def test_our_account_pulls_for_clients_that_bring_nothing(run_darter, origin, tmp_path, mode):
    origin.auth = Auth(mode, users={"robot$mirror": "robot-secret"}, may={"robot$mirror": {PRIVATE}})
    image = origin.add(PRIVATE, make_image(), "latest")
    darter = run_darter({}, config=own_account(origin, tmp_path))
    assert darter.get("/v2/").status == 200
    darter.pull(PRIVATE, "latest", image)
    darter.pull(PRIVATE, "latest", image)
    assert "robot-secret" not in darter.log


def test_our_account_gets_a_new_token_when_the_old_one_ends(run_darter, origin, tmp_path):
    auth = origin.auth = Auth(users={"robot$mirror": "robot-secret"},
                              may={"robot$mirror": {PRIVATE}})
    image = origin.add(PRIVATE, make_image([1000, 2000, 3000]), "latest")
    darter = run_darter({}, config=own_account(origin, tmp_path))
    assert darter.manifest(PRIVATE, "latest").status == 200
    for digest, data in image.blobs.items():
        auth.grants.clear()
        assert darter.blob(PRIVATE, digest).body == data


def test_a_refused_account_of_ours_is_not_the_clients_fault(run_darter, origin, tmp_path):
    """A 401 would make clients ask their users for passwords."""
    origin.auth = Auth(users={"robot$mirror": "another"}, may={"robot$mirror": {PRIVATE}})
    origin.add(PRIVATE, make_image(), "latest")
    darter = run_darter({}, config=own_account(origin, tmp_path))
    response = darter.manifest(PRIVATE, "latest")
    assert response.status in (404, 502, 503), response
    assert response.header("WWW-Authenticate") is None
