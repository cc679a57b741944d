"""What strangers send: nothing of it may crash, hang, grow or open the daemon."""
import json
import socket

import pytest

from lib import wire
from lib.image import OCI_MANIFEST, Image, digest_of, make_image
from lib.proxy import wait_until

REPO = "library/web"
MIB = 1024 * 1024

BAD_NAMES = ["UPPER/case", "a//b", "../../etc", "a/../b", "a/%2e%2e/b", "%2e%2e/passwd", "a b", "-a",
             "a-", "a/.b", "a/b.", "a__" + "_b", "x" * 300, "a/" * 200 + "b", "a%00b", "a%0d%0ab",
             "%ff%fe", "a\\b"]
BAD_DIGESTS = ["sha256:", "sha256:1234", "sha256:" + "g" * 64, "sha256:" + "A" * 64,
               "sha256:" + "0" * 63, "sha256:" + "0" * 65, "md5:" + "0" * 32, ":" + "0" * 64,
               "sha256", "0" * 64, "sha512:" + "0" * 64, "sha256:" + "0" * 60 + "%2f..",
               "sha256:" + "0" * 5000]
BAD_REFERENCES = ["-tag", ".tag", "t" * 129, "a:b", "sha256:1234", "a%20b", "%00"]


def still_serves(darter, image):
    assert darter.manifest(REPO, "latest").body == image.manifest


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: name[:20])
def test_a_bad_name_is_refused_here(darter, origin, name):
    response = darter.get(f"/v2/{name}/manifests/latest".replace(" ", "%20"))
    assert response.status in (400, 404, 413, 414), response
    assert origin.requests == []


@pytest.mark.parametrize("digest", BAD_DIGESTS, ids=lambda digest: digest[:20])
def test_a_bad_digest_is_refused_here(darter, origin, digest):
    response = darter.get(f"/v2/{REPO}/blobs/{digest}")
    assert response.status in (400, 404, 413, 414), response
    assert origin.requests == []


@pytest.mark.parametrize("ref", BAD_REFERENCES, ids=lambda ref: ref[:20])
def test_a_bad_reference_is_refused_here(darter, origin, ref):
    response = darter.get(f"/v2/{REPO}/manifests/{ref}")
    assert response.status in (400, 404), response
    assert origin.requests == []


@pytest.mark.parametrize("query", ["ns=", "ns=%zz", "ns=a%00b", "ns=%0d%0aX-Evil:1", "ns=" + "n" * 5000,
                                   "ns=test.local&ns=evil.test", "&&&&", "=", "ns=../../x",
                                   "ns=http://test.local"], ids=lambda query: query[:20])
def test_a_bad_query_is_no_way_out(darter, origin, image, query):
    response = darter.get(f"/v2/{REPO}/manifests/latest?{query}")
    assert response.status in (200, 400, 404, 413, 414), response
    assert response.header("X-Evil") is None


@pytest.mark.parametrize("request_bytes", [
    b"GET\r\n\r\n",
    b"GET /v2/\r\n\r\n",
    b"GET /v2/ HTTP/9.9\r\nHost: x\r\n\r\n",
    b"G\0T /v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"BREW /v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v2/ HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET /v2/ HTTP/1.1\r\nHost: x\r\nno colon here\r\n\r\n",
    b"GET /v2/ HTTP/1.1\r\nHost: x\r\n: empty\r\n\r\n",
    b"\r\n\r\n\r\n\r\n",
    b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x80\x9e\x01\x03\x01" + b"\0" * 100,
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
], ids=lambda data: repr(data[:30]))
def test_bytes_that_are_no_good_request_do_no_harm(darter, origin, image, request_bytes):
    answer = wire.exchange(darter.address, request_bytes, timeout_s=20)
    assert not answer.startswith(b"HTTP/1.1 200") or request_bytes.startswith(b"GET /v2/ HTTP/1.1") \
        or request_bytes.startswith(b"OPTIONS"), answer
    still_serves(darter, image)


def test_bytes_of_tls_on_the_plain_port_end_the_connection_at_once(darter, image):
    """podman tries TLS first on an insecure mirror: silence would cost it 10 s for each pull."""
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 506
    with darter.connect(timeout_s=8) as connection:
        connection.send(hello)
        assert connection.is_closed_by_peer()
    with darter.connect(timeout_s=8) as connection:
        connection.send(hello[:1])
        assert connection.is_closed_by_peer()
    still_serves(darter, image)


def test_a_flood_of_headers_is_refused(darter, image):
    for headers in ([("X-Flood", "x" * 200_000)],
                    [(f"X-Flood-{number}", "x" * 100) for number in range(5000)],
                    [("Accept", "a/b") for _ in range(20_000)],
                    [("Authorization", "Bearer " + "t" * 500_000)]):
        with darter.connect(timeout_s=10) as connection:
            try:
                connection.send_request("GET", f"/v2/{REPO}/manifests/latest", headers)
                status = connection.read_head().status
            except (wire.CutShort, OSError):
                continue  # closed in the middle of the flood: as good
            assert status in (400, 413, 431), status
    still_serves(darter, image)


def test_a_target_without_end_is_refused(darter, image):
    for length in (5000, 60_000, 500_000):
        with darter.connect(timeout_s=10) as connection:
            try:
                connection.send_request("GET", "/v2/" + "a/" * (length // 2) + "manifests/latest")
                status = connection.read_head().status
            except (wire.CutShort, OSError):
                continue
            assert status in (400, 404, 413, 414, 431), status
    still_serves(darter, image)


def test_long_but_honest_headers_are_taken(darter, image):
    """Tokens of real registries reach several kilobytes."""
    response = darter.manifest(REPO, "latest", [("Authorization", "Bearer " + "t" * 7000)])
    assert response.status == 200, response


def test_many_connections_that_say_nothing_hold_up_nobody(darter, image):
    silent = [wire.connect(darter.address) for _ in range(500)]
    try:
        for sock in silent[:250]:
            sock.send(b"GET /v2/ HT")
        still_serves(darter, image)
    finally:
        for sock in silent:
            sock.close()
    still_serves(darter, image)


def test_clients_that_reset_leave_no_trace(darter, image):
    import struct
    for number in range(100):
        sock = wire.connect(darter.address)
        sock.sendall(wire.request_bytes("GET", f"/v2/{REPO}/blobs/{image.layers[number % 2]}"))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    still_serves(darter, image)


# ---- what upstream sends ----

def serve_document(origin, body, media_type=OCI_MANIFEST):
    odd = Image(body, media_type, {})
    origin.repository(REPO).manifests[odd.digest] = odd
    origin.repository(REPO).tags["odd"] = odd.digest
    return odd


@pytest.mark.parametrize("body", [
    b"", b"{", b"null", b"[]", b"{}", b'"text"', b"\xff\xfe\x00", b'{"schemaVersion": 1}',
    b"[" * 100_000, b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    b'{"schemaVersion":2,"layers":[{"digest":"../../etc/passwd","size":-1}]}',
    b'{"schemaVersion":2,"layers":[{"digest":"sha256:zz","size":99999999999999999999}]}',
    b'{"schemaVersion":2,"layers":"none","config":7}',
    b'{"schemaVersion":2,"manifests":[' + b"{}," * 10_000 + b"{}]}",
], ids=lambda body: repr(body[:30]))
@pytest.mark.parametrize("ref", ["tag", "digest"])
def test_an_odd_manifest_is_passed_on_exactly_or_refused(darter, origin, image, body, ref):
    odd = serve_document(origin, body)
    response = darter.manifest(REPO, "odd" if ref == "tag" else odd.digest)
    if response.status == 200:
        assert response.body == body
    else:
        assert response.status in (404, 502, 503), response
    still_serves(darter, image)


def test_a_manifest_over_the_limit_is_refused(darter, origin, image):
    layers = [{"mediaType": "a/b", "digest": digest_of(b"x"), "size": 1, "pad": "p" * 1000}] * 6000
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": layers}).encode()
    assert len(body) > 4 * MIB
    odd = serve_document(origin, body)
    for ref in ("odd", odd.digest):
        response = darter.manifest(REPO, ref)
        assert response.status >= 400, response
    still_serves(darter, image)


def test_an_endless_manifest_is_cut_off(darter, origin, image):
    def endless(exchange):
        exchange.reply.set("Content-Length", None)
        exchange.reply.set("Connection", "close")
        exchange.send_head()
        for _ in range(64):
            exchange.raw(b" " * MIB)
        exchange.hang_up()
    before = darter.resident_bytes()
    origin.misbehave(endless, kind="manifest", ref="endless")
    assert darter.manifest(REPO, "endless").status >= 400
    assert darter.resident_bytes() - before < 32 * MIB
    still_serves(darter, image)


def test_an_endless_header_block_of_upstream_is_cut_off(darter, origin, image):
    def endless(exchange):
        exchange.raw(b"HTTP/1.1 200 OK\r\n")
        for number in range(400):
            exchange.raw(b"X-Pad-%d: %s\r\n" % (number, b"x" * 100_000))
        exchange.hang_up()
    before = darter.resident_bytes()
    origin.misbehave(endless, kind="manifest", ref="endless")
    assert darter.manifest(REPO, "endless").status >= 400
    assert darter.resident_bytes() - before < 32 * MIB
    still_serves(darter, image)


def test_headers_of_upstream_cannot_split_our_answer(darter, origin, image):
    def splitting(exchange):
        exchange.reply.headers += [("Warning", "299 - x\rX-Evil: 1"), ("Link", "<a>\x01\x02")]
        exchange.send()
    origin.misbehave(splitting, kind="manifest")
    origin.misbehave(splitting, kind="tags")
    for target in (f"/v2/{REPO}/manifests/latest", f"/v2/{REPO}/tags/list"):
        assert darter.get(target).header("X-Evil") is None


def test_a_blob_that_claims_an_absurd_size_takes_no_room(darter, origin, image):
    def absurd(exchange):
        exchange.reply.set("Content-Length", 2 ** 62)
        exchange.send_head()
        exchange.send_body(exchange.reply.body)
        exchange.hang_up()
    other = origin.add(REPO, make_image(), "other")
    origin.misbehave(absurd, kind="blob", ref=other.layers[0])
    response = darter.blob(REPO, other.layers[0])
    assert response.status >= 400 or not response.is_complete, response
    wait_until(lambda: darter.manifest(REPO, "latest").status == 200, "normal service")


def test_a_manifest_that_lies_about_a_size_is_found_out(darter, origin, image):
    """The descriptor says 5 bytes; upstream says 50,000: none is completed wrong."""
    document = json.loads(image.manifest)
    document["layers"][1]["size"] = 5
    body = json.dumps(document).encode()
    liar = Image(body, OCI_MANIFEST, {})
    origin.add(REPO, liar, "liar")
    assert darter.manifest(REPO, "liar").status == 200
    response = darter.blob(REPO, image.layers[1])
    if response.status == 200 and response.is_complete:
        assert response.body == image.blobs[image.layers[1]]
