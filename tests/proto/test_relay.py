"""What is passed through: lists, the catalog, referrers; and pushes, which are not for a mirror."""
import json

import pytest

from lib import faults
from lib.image import OCI_INDEX, digest_of, make_image

REPO = "library/web"


@pytest.fixture
def tagged(origin, image):
    for tag in ("v1", "v2", "v3", "a"):
        origin.repository(REPO).tags[tag] = image.digest
    return image


def test_tags_are_listed(darter, tagged):
    response = darter.get(f"/v2/{REPO}/tags/list")
    assert response.status == 200, response
    assert response.json() == {"name": REPO, "tags": ["a", "latest", "v1", "v2", "v3"]}


def test_pages_of_tags_and_their_link_are_passed_on(darter, tagged):
    response = darter.get(f"/v2/{REPO}/tags/list?n=2&ns=test.local")
    assert response.json()["tags"] == ["a", "latest"]
    link = response.header("Link")
    assert link == f'</v2/{REPO}/tags/list?last=latest&n=2>; rel="next"'
    target = link[1:link.index(">")]
    assert darter.get(target).json()["tags"] == ["v1", "v2"]


def test_tags_are_never_served_stale(darter, origin, tagged):
    darter.get(f"/v2/{REPO}/tags/list")
    origin.repository(REPO).tags["new"] = tagged.digest
    assert "new" in darter.get(f"/v2/{REPO}/tags/list").json()["tags"]


def test_the_catalog_is_passed_on(darter, origin, tagged):
    origin.add("zoo/keeper", make_image(), "1")
    response = darter.get("/v2/_catalog?n=1")
    assert response.status == 200 and response.json()["repositories"] == [REPO], response
    assert 'rel="next"' in response.header("Link")


def test_lists_of_what_is_not_there_are_404(darter, tagged):
    response = darter.get("/v2/no/such/tags/list")
    assert response.status == 404 and response.error_codes == ["NAME_UNKNOWN"], response


def test_a_list_comes_from_the_standby_when_the_origin_is_away(run_darter, origin, standby, tagged):
    standby.add(REPO, tagged, "from-standby")
    darter = run_darter({"test.local": [origin.url, standby.url]})
    origin.misbehave(faults.status(503))
    assert darter.get(f"/v2/{REPO}/tags/list").json()["tags"] == ["from-standby"]


def test_a_list_without_any_registry_is_503(darter, origin, tagged):
    origin.close()
    response = darter.get(f"/v2/{REPO}/tags/list", timeout_s=25)
    assert response.status in (502, 503) and response.error_codes, response


# ---- referrers ----

def signature_of(image):
    return make_image([100], artifactType="application/vnd.test.signature",
                      annotations={"by": "test"},
                      subject={"mediaType": image.media_type, "digest": image.digest,
                               "size": len(image.manifest)})


def test_referrers_are_passed_on(darter, origin, image):
    signature = origin.add(REPO, signature_of(image))
    response = darter.get(f"/v2/{REPO}/referrers/{image.digest}")
    assert response.status == 200, response
    assert response.header("Content-Type") == OCI_INDEX
    assert [each["digest"] for each in response.json()["manifests"]] == [signature.digest]
    filtered = darter.get(f"/v2/{REPO}/referrers/{image.digest}?artifactType=application/none")
    assert filtered.json()["manifests"] == []
    assert filtered.header("OCI-Filters-Applied") == "artifactType"


def test_referrers_of_an_unknown_digest_are_an_empty_list(darter, image):
    response = darter.get(f"/v2/{REPO}/referrers/{digest_of(b'unknown')}")
    assert response.status == 200 and response.header("Content-Type") == OCI_INDEX, response
    assert response.json()["manifests"] == []


def test_a_registry_without_referrers_gives_an_empty_list(darter, origin, image):
    origin.has_referrers = False
    response = darter.get(f"/v2/{REPO}/referrers/{image.digest}")
    assert response.status == 200 and response.header("Content-Type") == OCI_INDEX, response
    assert response.json()["manifests"] == []


def test_a_registry_without_referrers_is_asked_for_the_fallback_tag(darter, origin, image):
    origin.has_referrers = False
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        {"mediaType": "a/b", "digest": image.digest, "size": 3}]}).encode()
    from lib.image import Image
    origin.add(REPO, Image(index, OCI_INDEX, {}), image.digest.replace(":", "-"))
    response = darter.get(f"/v2/{REPO}/referrers/{image.digest}")
    assert response.status == 200, response
    assert response.json()["manifests"][0]["digest"] == image.digest


# ---- pushes ----

@pytest.mark.parametrize("method, target", [
    ("POST", f"/v2/{REPO}/blobs/uploads/"),
    ("POST", f"/v2/{REPO}/blobs/uploads/?mount=sha256:{'0' * 64}&from=team/private"),
    ("PATCH", f"/v2/{REPO}/blobs/uploads/x"),
    ("PUT", f"/v2/{REPO}/manifests/latest"),
    ("DELETE", f"/v2/{REPO}/manifests/latest"),
    ("DELETE", f"/v2/{REPO}/blobs/sha256:{'0' * 64}"),
])
def test_a_push_is_refused_and_upstream_hears_nothing(darter, origin, image, method, target):
    body = b"x" * 100 if method != "DELETE" else b""
    response = darter.fetch(method, target, body=body)
    assert response.status == 405, response
    assert response.error_codes == ["UNSUPPORTED"]
    assert origin.requests == []


@pytest.mark.parametrize("target", ["/v2//manifests/x", "/v2/a/../b/tags/list", "/v2/a/%2e%2e/b"])
def test_a_path_that_climbs_is_refused_here(darter, origin, target):
    assert darter.get(target).status in (400, 404)
    assert origin.requests == []


def test_a_large_push_is_refused_without_being_read(darter, image):
    with darter.connect(timeout_s=10) as connection:
        connection.send_request("PATCH", f"/v2/{REPO}/blobs/uploads/x",
                                [("Content-Length", str(10 ** 12))])
        connection.send(b"x" * 10_000)
        response = connection.read_head()
        assert response.status in (405, 413), response
    assert darter.manifest(REPO, "latest").status == 200


@pytest.mark.parametrize("target", ["/", "/v1/_ping", "/v1/search?q=x", "/index.html",
                                    "/favicon.ico", "/v1/cache", "/v3/",
                                    "/token?scope=repository:team/private:pull"])
def test_what_is_no_registry_path_is_404(darter, origin, target):
    response = darter.get(target)
    assert response.status == 404, response
    assert origin.requests == []
