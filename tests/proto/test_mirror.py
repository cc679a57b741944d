"""The mirror's daily work: manifests and blobs, exact in every byte and header."""
import pytest

from lib.image import ALL_MANIFEST_TYPES, digest_of, make_image, make_index
from lib.origin import Origin

REPO = "library/web"


def assert_is_manifest(response, image):
    assert response.status == 200, response
    assert response.header("Content-Type") == image.media_type
    assert response.header("Content-Length") == str(len(image.manifest))
    assert response.header("Docker-Content-Digest") == image.digest
    assert response.header("ETag") == f'"{image.digest}"'
    assert response.header("Docker-Distribution-Api-Version") == "registry/2.0"


def test_a_manifest_by_tag_is_what_the_registry_has(darter, image):
    response = darter.manifest(REPO, "latest")
    assert_is_manifest(response, image)
    assert response.body == image.manifest


def test_a_manifest_by_digest_is_what_the_registry_has(darter, image):
    response = darter.manifest(REPO, image.digest)
    assert_is_manifest(response, image)
    assert response.body == image.manifest


@pytest.mark.parametrize("reference", ["tag", "digest"])
def test_head_of_a_manifest_has_the_headers_of_get(darter, image, reference):
    ref = "latest" if reference == "tag" else image.digest
    cold = darter.manifest(REPO, ref, method="HEAD")
    assert_is_manifest(cold, image)
    assert cold.body == b""
    darter.manifest(REPO, ref)
    assert_is_manifest(darter.manifest(REPO, ref, method="HEAD"), image)


@pytest.mark.parametrize("docker", [False, True])
def test_an_index_and_its_child_keep_their_types(darter, origin, docker):
    child = make_image(docker=docker)
    index = origin.add(REPO, make_index([child, make_image(docker=docker)], docker=docker), "multi")
    response = darter.manifest(REPO, "multi")
    assert_is_manifest(response, index)
    assert response.body == index.manifest
    assert_is_manifest(darter.manifest(REPO, child.digest), child)


def test_a_blob_has_its_bytes_and_headers(darter, image):
    digest = image.layers[1]
    data = image.blobs[digest]
    for source in ("origin", "disk"):
        response = darter.blob(REPO, digest)
        assert response.status == 200 and response.is_complete, response
        assert response.body == data
        assert response.header("Content-Length") == str(len(data))
        assert response.header("Docker-Content-Digest") == digest
        assert response.header("Accept-Ranges") == "bytes"
        assert response.header("X-Darter-Source") == source


def test_head_of_a_blob_tells_its_size_and_fetches_nothing(darter, origin, image):
    digest = image.layers[1]
    response = darter.blob(REPO, digest, method="HEAD")
    assert response.status == 200, response
    assert response.header("Content-Length") == str(len(image.blobs[digest]))
    assert response.header("Docker-Content-Digest") == digest
    assert origin.blob_bytes[digest] == 0


def test_the_second_pull_asks_the_origin_for_no_body(darter, origin, image):
    cold = darter.pull(REPO, "latest", image)
    assert cold.header("X-Cache") == "MISS" and cold.header("X-Darter-Source") == "origin"
    origin.forget()
    warm = darter.pull(REPO, "latest", image)
    assert warm.header("X-Cache") == "HIT" and warm.header("X-Darter-Source") == "disk"
    assert origin.count(method="GET", kind="manifest") == 0
    assert origin.count(method="GET", kind="blob") == 0


def test_a_manifest_the_client_knows_is_not_sent_again(darter, image):
    darter.manifest(REPO, "latest")
    response = darter.manifest(REPO, "latest", [("If-None-Match", f'"{image.digest}"')])
    assert response.status in (200, 304), response
    assert response.body == (b"" if response.status == 304 else image.manifest)


def test_a_blob_of_no_bytes_is_served(darter, origin, image):
    digest = origin.add_blob(REPO, b"")
    response = darter.blob(REPO, digest)
    assert response.status == 200 and response.body == b"", response
    assert response.header("Content-Length") == "0"


def test_a_sha512_blob_is_served_and_kept(darter, origin, image):
    data = b"sixty-four bytes of digest" * 1000
    digest = origin.add_blob(REPO, data, "sha512")
    assert darter.blob(REPO, digest).body == data
    assert darter.blob(REPO, digest).header("X-Darter-Source") == "disk"


def test_upstream_is_asked_for_every_manifest_type_at_once(darter, origin, image):
    """docker-registry answers by Accept: without the right types a tag means another manifest."""
    origin.is_accept_strict = True
    assert darter.manifest(REPO, "latest").status == 200
    accepts = [request.header("accept") for request in origin.select(kind="manifest", ref="latest")]
    assert accepts
    for accept in accepts:
        for media_type in ALL_MANIFEST_TYPES:
            assert media_type in accept


def test_upstream_is_asked_for_plain_bytes(darter, origin, image):
    darter.blob(REPO, image.layers[0], [("Accept-Encoding", "gzip")])
    for request in origin.select(kind="blob"):
        assert (request.header("accept-encoding") or "identity") == "identity"


def test_ns_chooses_the_upstream_and_stays_with_us(run_darter, origin, image):
    with Origin() as other:
        theirs = other.add(REPO, make_image(), "latest")
        darter = run_darter({"test.local": [origin.url], "other.test:1234": [other.url]})
        assert darter.get(f"/v2/{REPO}/manifests/latest?ns=test.local").body == image.manifest
        for name in ("other.test%3A1234", "other.test:1234", "OTHER.test%3a1234"):
            response = darter.get(f"/v2/{REPO}/manifests/latest?ns={name}")
            assert response.body == theirs.manifest
        assert all("ns=" not in request.target for request in origin.requests + other.requests)


def test_an_unknown_ns_is_refused_at_once_and_nobody_is_asked(darter, origin, image):
    for target in (f"/v2/{REPO}/manifests/latest?ns=evil.test", "/v2/?ns=evil.test",
                   f"/v2/{REPO}/blobs/{image.layers[0]}?ns=evil.test"):
        response = darter.get(target, timeout_s=15)
        assert response.status == 404, response
        assert response.error_codes
    assert origin.requests == []


def test_an_absolute_form_target_chooses_its_upstream(run_darter, origin, image):
    darter = run_darter({"docker.io": ["http://127.0.0.1:1"], "harbor.test:7001": [origin.url]})
    response = darter.get(f"http://harbor.test:7001/v2/{REPO}/manifests/latest")
    assert response.status == 200 and response.body == image.manifest, response
    assert darter.get(f"http://evil.test/v2/{REPO}/manifests/latest").status == 404


def test_a_short_docker_hub_name_means_library(run_darter, origin, image):
    darter = run_darter({"docker.io": [origin.url]})
    assert darter.get("/v2/web/manifests/latest?ns=docker.io").body == image.manifest
    assert origin.count(repo="web") == 0


def test_ping_answers_with_and_without_its_slash(darter):
    for target in ("/v2/", "/v2", "/v2/?ns=test.local"):
        response = darter.get(target)
        assert response.status == 200, response
        assert response.header("Docker-Distribution-Api-Version") == "registry/2.0"


def test_ping_answers_while_upstream_is_away(darter, origin):
    assert darter.get("/v2/").status == 200
    origin.close()
    assert darter.get("/v2/", timeout_s=10).status == 200


def test_one_connection_serves_many_requests(darter, image):
    with darter.connect() as connection:
        for _ in range(3):
            for digest, data in image.blobs.items():
                connection.send_request("GET", f"/v2/{REPO}/blobs/{digest}")
                assert connection.read_response().body == data


def test_requests_sent_ahead_are_answered_in_order(darter, image):
    darter.pull(REPO, "latest", image)
    with darter.connect() as connection:
        for digest in image.layers:
            connection.send_request("GET", f"/v2/{REPO}/blobs/{digest}")
        for digest in image.layers:
            assert connection.read_response().body == image.blobs[digest]


def test_a_client_that_asks_for_close_gets_it(darter, image):
    with darter.connect() as connection:
        connection.send_request("GET", f"/v2/{REPO}/blobs/{image.layers[0]}", close=True)
        assert connection.read_response().body == image.blobs[image.layers[0]]
        assert connection.is_closed_by_peer()


def test_separate_accept_lines_are_read_as_one(darter, origin, image):
    """docker and podman send six; a daemon that reads the last one only would relay uncached."""
    accepts = [("Accept", "application/json"), ("Accept", image.media_type),
               ("Accept", "application/vnd.docker.distribution.manifest.v1+prettyjws")]
    for _ in range(2):
        response = darter.get(f"/v2/{REPO}/manifests/latest", accepts)
        assert response.body == image.manifest
    assert origin.count(method="GET", kind="manifest") == 1


def test_redirects_are_followed_without_the_authorization(run_darter, origin, image):
    from lib import faults
    from lib.auth import Auth
    with Origin() as cdn:
        cdn.add(REPO, image)
        auth = Auth(users={"alice": "pw"}, may={"alice": {REPO}})
        origin.auth = auth
        bearer = [("Authorization", f"Bearer {auth.token_for('alice', REPO)}")]
        origin.misbehave(faults.redirect(lambda request: f"{cdn.url}/cdn/{request.ref}"),
                         kind="blob", method="GET", when=auth.allows)
        darter = run_darter({"test.local": [origin.url]})
        darter.pull(REPO, "latest", image, bearer)
        assert cdn.count(kind="cdn") >= len(image.blobs)
        # The first address 127.0.0.1:A differs from 127.0.0.1:B: another host to any client.
        assert all(request.header("authorization") is None for request in cdn.requests)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_relative_redirect_of_a_manifest_is_followed(darter, origin, image, code):
    from lib import faults
    origin.misbehave(faults.redirect(f"/v2/{REPO}/manifests/latest", code), repo="web-moved")
    response = darter.get("/v2/web-moved/manifests/latest")
    assert response.status == 200 and response.body == image.manifest, response


def test_what_the_registry_never_had_is_404_with_a_registry_error(darter, image):
    unknown = digest_of(b"nobody has this")
    for target, code in ((f"/v2/{REPO}/manifests/none", "MANIFEST_UNKNOWN"),
                         (f"/v2/{REPO}/manifests/{unknown}", "MANIFEST_UNKNOWN"),
                         (f"/v2/{REPO}/blobs/{unknown}", "BLOB_UNKNOWN")):
        response = darter.get(target)
        assert response.status == 404, response
        assert response.error_codes[0] in (code, "NAME_UNKNOWN"), response
        assert darter.head(target).status == 404
