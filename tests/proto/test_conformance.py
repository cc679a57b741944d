"""The read-only part of the OCI distribution specification's conformance suite, cold and warm."""
import json

import pytest

from lib.image import OCI_INDEX, OCI_MANIFEST, digest_of, make_image, make_index

REPO = "conformance/test"
ACCEPT = [("Accept", OCI_INDEX), ("Accept", OCI_MANIFEST)]
ERROR_CODES = {
    "BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID",
    "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED", "DENIED", "UNSUPPORTED", "TOOMANYREQUESTS"}


class World:
    def __init__(self, darter, origin):
        self.darter = darter
        self.image = make_image()
        self.index = origin.add(REPO, make_index([self.image]), "multi")
        origin.add(REPO, self.image, "one", "two")
        self.blob = bytes(range(256)) * 8
        self.digest = origin.add_blob(REPO, self.blob)
        self.blobs = {self.digest: self.blob, **self.image.blobs}
        for data, algorithm in ((b"", "sha256"), (b"long" * 100, "sha512")):
            self.blobs[origin.add_blob(REPO, data, algorithm)] = data

    def ask(self, method, path, headers=()):
        return self.darter.fetch(method, f"/v2/{REPO}/{path}", [*ACCEPT, *headers])


@pytest.fixture(params=["cold", "warm"])
def world(request, darter, origin):
    world = World(darter, origin)
    if request.param == "warm":
        for ref in ("multi", "one", "two"):
            assert world.ask("GET", f"manifests/{ref}").status == 200
        for digest in world.blobs:
            assert world.ask("GET", f"blobs/{digest}").status == 200
    return world


def test_01_ping(world):
    assert world.darter.get("/v2/", ACCEPT).status == 200


def test_02_tags(world):
    assert world.ask("GET", "tags/list").json() == {"name": REPO, "tags": ["multi", "one", "two"]}
    assert world.ask("GET", "tags/list?last=multi").json()["tags"] == ["one", "two"]
    assert world.ask("GET", "tags/list?n=1").json()["tags"] == ["multi"]


def test_03_referrers_of_an_unknown_digest(world):
    response = world.ask("GET", f"referrers/{digest_of(b'unknown')}")
    assert response.status == 200 and response.header("Content-Type") == OCI_INDEX, response
    document = response.json()
    assert document["manifests"] == [] and document["schemaVersion"] == 2


def test_04_head_of_manifests(world):
    for image, refs in ((world.index, ["multi"]), (world.image, ["one", "two"])):
        for ref in [*refs, image.digest]:
            response = world.ask("HEAD", f"manifests/{ref}")
            assert response.status == 200, response
            assert response.header("Content-Length") == str(len(image.manifest))
            assert response.header("Docker-Content-Digest") == image.digest


def test_05_head_of_blobs(world):
    for digest, data in world.blobs.items():
        response = world.ask("HEAD", f"blobs/{digest}")
        assert response.status == 200, response
        assert response.header("Content-Length") == str(len(data))
        assert response.header("Docker-Content-Digest") == digest


def test_06_get_of_manifests(world):
    for image, refs in ((world.index, ["multi"]), (world.image, ["one", "two"])):
        for ref in [*refs, image.digest]:
            response = world.ask("GET", f"manifests/{ref}")
            assert response.status == 200 and digest_of(response.body) == image.digest, response
            assert response.header("Content-Type") == image.media_type


def test_07_get_of_blobs(world):
    for digest, data in world.blobs.items():
        response = world.ask("GET", f"blobs/{digest}")
        assert response.status == 200 and response.body == data, response


def test_08_referrers(world, origin):
    subject = {"mediaType": OCI_MANIFEST, "digest": world.image.digest,
               "size": len(world.image.manifest)}
    made = [origin.add(REPO, make_image([10], artifactType=f"application/{kind}", subject=subject,
                                        annotations={"kind": kind})) for kind in ("a", "b")]
    response = world.ask("GET", f"referrers/{world.image.digest}")
    found = {each["digest"]: each for each in response.json()["manifests"]}
    assert set(found) == {image.digest for image in made}
    assert found[made[0].digest]["artifactType"] == "application/a"
    assert found[made[0].digest]["annotations"] == {"kind": "a"}
    filtered = world.ask("GET", f"referrers/{world.image.digest}?artifactType=application/b")
    assert [each["digest"] for each in filtered.json()["manifests"]] == [made[1].digest]
    assert filtered.header("OCI-Filters-Applied") == "artifactType"


def test_09_unknown_things(world):
    unknown = digest_of(b"unknown")
    for path in (f"manifests/{unknown}", "manifests/unknown", f"blobs/{unknown}"):
        assert world.ask("HEAD", path).status == 404
        response = world.ask("GET", path)
        assert response.status == 404, response
        assert_is_error(response)


def test_10_a_bad_digest(world):
    for path in ("manifests/sha256:baddigeststring", "blobs/sha256:baddigeststring"):
        response = world.ask("GET", path)
        assert response.status in (400, 404), response
        assert_is_error(response)


@pytest.mark.parametrize("value, first, last", [("500-1499", 500, 1499), ("500-", 500, 2047),
                                                ("-500", 1548, 2047), ("2000-5000", 2000, 2047)])
def test_11_ranges(world, value, first, last):
    response = world.ask("GET", f"blobs/{world.digest}", [("Range", f"bytes={value}")])
    assert response.status == 206, response
    assert response.header("Content-Range") == f"bytes {first}-{last}/2048"
    assert response.body == world.blob[first:last + 1]


@pytest.mark.parametrize("value", ["500-0", "5000-10000"])
def test_12_impossible_ranges(world, value):
    assert world.ask("GET", f"blobs/{world.digest}", [("Range", f"bytes={value}")]).status == 416


def assert_is_error(response):
    document = json.loads(response.body)
    assert document["errors"], document
    assert {error["code"] for error in document["errors"]} <= ERROR_CODES, document
