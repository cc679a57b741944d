"""A source that fails, stalls or lies is replaced, in the middle of a blob if need be; and where
nobody can replace it, no client ever gets a wrong blob that looks complete."""
import concurrent.futures
import time

import pytest

from lib import faults
from lib.image import make_image
from lib.origin import SilentListener
from lib.proxy import wait_until

REPO = "library/web"
MIB = 1024 * 1024
IMPATIENT = ["--stall-timeout", "500ms", "--tag-budget", "1s"]

BROKEN_BLOBS = {
    "403": faults.status(403),
    "404": faults.status(404),
    "500": faults.status(500),
    "502": faults.status(502),
    "503": faults.status(503),
    "504": faults.status(504),
    "429": faults.too_many(),
    "429 for an hour": faults.too_many(3600),
    "closed before headers": faults.close(),
    "reset before headers": faults.reset(),
    "no http": faults.garbage(),
    "cut at once": faults.cut(0),
    "cut in the middle": faults.cut(5 * MIB),
    "cut one byte before the end": faults.cut(8 * MIB - 1),
    "reset in the middle": faults.cut(5 * MIB, how="reset"),
    "chunks cut in the middle": faults.cut(5 * MIB, framing="chunked"),
    "chunks cut at once": faults.cut(100, framing="chunked"),
    "stall before headers": faults.hang(),
    "stall in the middle": faults.stall(5 * MIB),
    "short body with fitting length": faults.short_body(5 * MIB),
    "login page": faults.html(),
    "first byte wrong": faults.corrupt(0),
    "middle byte wrong": faults.corrupt(5 * MIB),
    "last byte wrong": faults.corrupt(-1),
    "too long": faults.extra_bytes(),
    "gzip nobody asked for": faults.gzip_encoded(),
    "wrong digest header": faults.wrong_digest_header(),
    "range ignored": faults.ignore_range(),
    "range 416": faults.refuse_range(416),
    "range 404": faults.refuse_range(404),
    "redirect to nowhere": faults.redirect("http://127.0.0.1:1/gone"),
    "redirect in a circle": faults.redirect(lambda request: request.target),
}
BROKEN_MANIFESTS = {
    "500": faults.status(500),
    "502": faults.status(502),
    "503": faults.status(503),
    "504": faults.status(504),
    "429": faults.too_many(3600),
    "closed": faults.close(),
    "reset": faults.reset(),
    "no http": faults.garbage(),
    "stall": faults.hang(),
    "cut": faults.cut(100),
    "chunks cut": faults.cut(100, framing="chunked"),
    "login page": faults.html(),
    "wrong digest header": faults.wrong_digest_header(),
    "wrong bytes": faults.corrupt(20),
}
HARMLESS_MANIFESTS = {
    "HEAD 405": ("HEAD", faults.status(405)),
    "HEAD without length": ("HEAD", faults.header("Content-Length", None)),
    "HEAD with length 0": ("HEAD", faults.header("Content-Length", 0)),
    "no digest header": (None, faults.header("Docker-Content-Digest", None)),
    "chunked": ("GET", faults.chunked()),
    "close-delimited": ("GET", faults.close_delimited()),
    "slow headers": (None, faults.delay_headers(0.3)),
}


def two_registries(origin, standby, size):
    image = origin.add(REPO, make_image([size]), "latest")
    standby.add(REPO, image, "latest")
    return image


@pytest.mark.parametrize("fault", BROKEN_BLOBS.values(), ids=BROKEN_BLOBS.keys())
def test_a_large_blob_is_repaired_from_the_standby(run_darter, origin, standby, fault):
    """8 MiB: over the size up to which a blob is verified before its first byte is sent."""
    image = two_registries(origin, standby, 8 * MIB)
    darter = run_darter({"test.local": [origin.url, standby.url]}, IMPATIENT)
    assert darter.manifest(REPO, "latest").status == 200
    origin.misbehave(fault, kind="blob", method="GET")
    digest = image.layers[0]
    response = darter.blob(REPO, digest)
    if fault.__qualname__.startswith("corrupt") and not response.is_complete:
        # Bytes that were sent cannot be called back: cut short, and right at the second try.
        assert response.status == 200 and len(response.body) < len(image.blobs[digest])
        response = darter.blob(REPO, digest)
    assert response.status == 200, response
    assert response.is_complete and response.body == image.blobs[digest], response


@pytest.mark.parametrize("fault", BROKEN_BLOBS.values(), ids=BROKEN_BLOBS.keys())
def test_a_small_blob_is_repaired_before_its_first_byte(run_darter, origin, standby, fault):
    image = two_registries(origin, standby, 200_000)
    darter = run_darter({"test.local": [origin.url, standby.url]}, IMPATIENT)
    assert darter.manifest(REPO, "latest").status == 200
    origin.misbehave(fault, kind="blob", method="GET")
    digest = image.layers[0]
    response = darter.blob(REPO, digest)
    assert response.status == 200, response
    assert response.is_complete and response.body == image.blobs[digest], response


@pytest.mark.parametrize("fault", BROKEN_MANIFESTS.values(), ids=BROKEN_MANIFESTS.keys())
def test_a_manifest_comes_from_the_standby(run_darter, origin, standby, fault):
    image = two_registries(origin, standby, 1000)
    darter = run_darter({"test.local": [origin.url, standby.url]}, IMPATIENT)
    origin.misbehave(fault, kind="manifest")
    for ref in ("latest", image.digest):
        response = darter.manifest(REPO, ref)
        assert response.status == 200 and response.body == image.manifest, response


@pytest.mark.parametrize("method, fault", HARMLESS_MANIFESTS.values(), ids=HARMLESS_MANIFESTS.keys())
def test_an_odd_answer_about_a_manifest_is_understood(darter, origin, method, fault):
    image = origin.add(REPO, make_image(), "latest")
    fields = {"method": method} if method else {}
    origin.misbehave(fault, kind="manifest", **fields)
    head = darter.manifest(REPO, "latest", method="HEAD")
    assert head.status == 200, head
    assert head.header("Content-Length") == str(len(image.manifest))
    assert head.header("Docker-Content-Digest") == image.digest
    response = darter.manifest(REPO, "latest")
    assert response.status == 200 and response.body == image.manifest, response
    assert response.header("Content-Type") == image.media_type


@pytest.mark.parametrize("media_type", [None, "text/plain", "application/json",
                                        "application/octet-stream"])
def test_a_manifest_of_no_type_gets_the_one_it_states_itself(darter, origin, media_type):
    """containerd and podman refuse a manifest without its type."""
    image = origin.add(REPO, make_image(), "latest")
    origin.misbehave(faults.header("Content-Type", media_type), kind="manifest")
    response = darter.manifest(REPO, "latest")
    if response.status == 200:
        assert response.header("Content-Type") == image.media_type
        assert response.body == image.manifest
    else:
        assert response.status in (502, 503), response


@pytest.mark.parametrize("ref", ["tag", "digest"])
def test_a_manifest_with_a_wrong_byte_is_never_served(darter, origin, ref):
    image = origin.add(REPO, make_image(), "latest")
    origin.misbehave(faults.corrupt(10), kind="manifest", method="GET")
    response = darter.manifest(REPO, "latest" if ref == "tag" else image.digest)
    assert response.status in (502, 503), response
    origin.behave()
    wait_until(lambda: darter.manifest(REPO, "latest").body == image.manifest, "the right one")


def test_a_dead_origin_costs_no_time_when_a_standby_lives(run_darter, origin, standby):
    image = two_registries(origin, standby, 1_000_000)
    origin.close()
    darter = run_darter({"test.local": [origin.url, standby.url]})
    response = darter.pull(REPO, "latest", image)
    assert response.header("X-Darter-Source") == "mirror"


def test_an_origin_that_drops_packets_is_passed_over(run_darter, standby):
    image = standby.add(REPO, make_image(), "latest")
    with SilentListener() as silent:
        darter = run_darter({"test.local": [silent.url, standby.url]}, IMPATIENT)
        darter.pull(REPO, "latest", image)


def test_an_origin_that_dies_in_the_middle_is_replaced(run_darter, origin, standby):
    image = two_registries(origin, standby, 8 * MIB)
    digest = image.layers[0]
    gate = faults.Gate(after=5 * MIB)
    origin.misbehave(gate, kind="blob", method="GET")
    darter = run_darter({"test.local": [origin.url, standby.url]})
    assert darter.manifest(REPO, "latest").status == 200
    with darter.connect() as connection:
        connection.send_request("GET", f"/v2/{REPO}/blobs/{digest}")
        head = connection.read_head()
        assert gate.reached.wait(20)
        origin.close()
        response = connection.read_body(head)
    assert response.is_complete and response.body == image.blobs[digest]
    # Only what was missing is fetched again, up to one piece that was not complete yet.
    assert standby.blob_bytes[digest] < len(image.blobs[digest])


def test_a_standby_that_lags_behind_does_not_hide_what_the_origin_has(run_darter, origin, standby):
    image = origin.add(REPO, make_image(), "latest")
    standby.add(REPO, make_image(), "old")
    darter = run_darter({"test.local": [origin.url, standby.url]})
    origin.misbehave(faults.status(503), kind="manifest", times=1)
    wait_until(lambda: darter.manifest(REPO, "latest").body == image.manifest, "the origin again")


def test_one_failure_of_the_only_source_is_tried_again(darter, origin):
    """One endpoint: what a second try can heal is healed before the client hears of it."""
    image = origin.add(REPO, make_image([8 * MIB]), "latest")
    digest = image.layers[0]
    assert darter.manifest(REPO, "latest").status == 200
    origin.misbehave(faults.cut(5 * MIB), kind="blob", method="GET", times=1)
    response = darter.blob(REPO, digest)
    assert response.status == 200 and response.is_complete and response.body == image.blobs[digest]


@pytest.mark.parametrize("fault", [faults.status(503), faults.close(), faults.too_many(1)],
                         ids=["503", "closed", "429 with Retry-After"])
def test_a_passing_refusal_of_the_only_source_is_absorbed(darter, origin, fault):
    image = origin.add(REPO, make_image(), "latest")
    assert darter.manifest(REPO, "latest").status == 200
    origin.misbehave(fault, kind="blob", method="GET", times=1)
    response = darter.blob(REPO, image.layers[1])
    assert response.status == 200 and response.body == image.blobs[image.layers[1]], response


def test_who_comes_while_a_registry_limits_its_rate_waits_as_well(darter, origin):
    """All layers of an image at once: one is refused, and the others must not fail for it."""
    image = origin.add(REPO, make_image([300_000, 200_000]), "latest")
    assert darter.manifest(REPO, "latest").status == 200
    origin.misbehave(faults.too_many(1), kind="blob", method="GET", times=3)
    with concurrent.futures.ThreadPoolExecutor(2) as clients:
        first = clients.submit(darter.blob, REPO, image.layers[0])
        wait_until(lambda: any("/blobs/" in request.target for request in origin.requests),
                   "the first refusal")
        second = clients.submit(darter.blob, REPO, image.layers[1])
    for digest, response in zip(image.layers, (first.result(), second.result())):
        assert response.status == 200 and response.body == image.blobs[digest], response


def test_a_source_that_cuts_every_answer_is_still_of_use(run_darter, origin):
    """Every Range brings some bytes more."""
    image = origin.add(REPO, make_image([8 * MIB]), "latest")
    digest = image.layers[0]
    darter = run_darter({"test.local": [origin.url]}, IMPATIENT)
    origin.misbehave(faults.cut(3 * MIB), kind="blob", method="GET")
    data, tries = b"", 0
    while len(data) < len(image.blobs[digest]) and tries < 20:
        headers = [("Range", f"bytes={len(data)}-")] if data else []
        response = darter.blob(REPO, digest, headers)
        if response.status in (200, 206):
            data += response.body
        else:
            assert response.status == 503, response
        tries += 1
    assert data == image.blobs[digest], f"{len(data)} bytes after {tries} tries"


def asks_from_the_start(request):
    return (request.header("range") or "bytes=0-").startswith("bytes=0-")


def test_without_another_source_the_body_is_cut_and_the_retry_is_503(run_darter, origin):
    """containerd asks for the rest by Range; a 503 there is what sends it to the registry."""
    image = origin.add(REPO, make_image([8 * MIB]), "latest")
    digest = image.layers[0]
    data = image.blobs[digest]
    darter = run_darter({"test.local": [origin.url]}, ["--head-deadline", "3s"])
    wait_until(lambda: darter.manifest(REPO, "latest").status == 200, "the manifest")
    # Not "once": a first answer that is late is asked for again, and the quicker one counts.
    origin.misbehave(faults.cut(5 * MIB), kind="blob", method="GET", when=asks_from_the_start)
    origin.misbehave(faults.status(503), kind="blob")
    response = darter.blob(REPO, digest)
    assert response.status == 200 and not response.is_complete, response
    assert response.body == data[:len(response.body)]
    retry = darter.blob(REPO, digest, [("Range", f"bytes={len(response.body)}-")])
    assert retry.status == 503, retry
    assert retry.error_codes


@pytest.mark.parametrize("size", [100_000, 8 * MIB], ids=["small", "large"])
@pytest.mark.parametrize("fault", [faults.corrupt(0), faults.corrupt(-1), faults.html(),
                                   faults.short_body(1000)],
                         ids=["first byte", "last byte", "login page", "short"])
def test_a_lying_only_source_never_completes_a_blob(run_darter, origin, fault, size):
    image = origin.add(REPO, make_image([size]), "latest")
    digest = image.layers[0]
    darter = run_darter({"test.local": [origin.url]}, IMPATIENT + ["--head-deadline", "3s"])
    wait_until(lambda: darter.manifest(REPO, "latest").status == 200, "the manifest")
    origin.misbehave(fault, kind="blob", method="GET")
    for _ in range(2):
        response = darter.blob(REPO, digest)
        if response.status == 200:
            assert not response.is_complete, "a wrong blob was sent as a whole one"
            assert len(response.body) < len(image.blobs[digest])
        else:
            assert response.status in (502, 503), response
    origin.behave()
    wait_until(lambda: darter.blob(REPO, digest).body == image.blobs[digest], "the right blob")


def test_headers_reach_the_client_in_time_whatever_upstream_does(run_darter, origin):
    """containerd 2.x leaves a mirror that needs 30 s for its headers."""
    image = origin.add(REPO, make_image(), "latest")
    darter = run_darter({"test.local": [origin.url]}, ["--head-deadline", "1s"])
    wait_until(lambda: darter.manifest(REPO, "latest").status == 200, "the manifest")
    origin.misbehave(faults.hang(), kind="blob")
    response = darter.blob(REPO, image.layers[0], timeout_s=10)
    assert response.status == 503, response
    origin.behave()
    origin.misbehave(faults.hang(), kind="manifest")
    assert darter.manifest(REPO, "other", timeout_s=10).status == 503


SWALLOWED = {  # which requests say nothing
    "a manifest's HEAD": {"kind": "manifest", "method": "HEAD"},
    "a manifest's GET": {"kind": "manifest", "method": "GET"},
    "a blob's HEAD": {"kind": "blob", "method": "HEAD"},
    "a blob's GET": {"kind": "blob", "method": "GET"},
    "what is passed on": {"kind": "tags"},
}


@pytest.mark.parametrize("fields", SWALLOWED.values(), ids=SWALLOWED)
@pytest.mark.parametrize("times", [1, 2])
def test_a_request_that_the_only_source_swallows_is_sent_again(run_darter, origin, image, fields,
                                                                times):
    """A quarter of the deadline is waited for each, and the client waits for no more than that."""
    darter = run_darter({"test.local": [origin.url]}, ["--head-deadline", "8s"])
    origin.misbehave(faults.hang(), times=times, **fields)
    began = time.monotonic()
    if fields["kind"] == "tags":
        assert darter.get(f"/v2/{REPO}/tags/list").json()["tags"] == ["latest"]
    elif fields == SWALLOWED["a blob's HEAD"]:
        layer = image.layers[0]  # not listed by a manifest yet: upstream is asked whose it is
        assert darter.blob(REPO, layer).body == image.blobs[layer]
    else:
        darter.pull(REPO, "latest", image)
    # An answer that is late because the machine stood still is asked for again as well.
    silences = int((time.monotonic() - began) / 1.9)
    repeated = darter.metric("darter_requests_repeated_total")
    assert times <= repeated <= silences, "once for each that was swallowed"
    assert darter.log_so_far().count(" asked_again ") == repeated


def test_a_swallowed_request_that_is_hung_up_later_does_not_end_its_successor(run_darter, origin):
    image = origin.add(REPO, make_image([100_000]), "latest")
    darter = run_darter({"test.local": [origin.url]}, ["--head-deadline", "8s"])
    asked = iter((2, 3))

    def hang_until_asked_again(exchange):
        number = next(asked)
        wait_until(lambda: origin.count(kind="blob", method="GET") >= number, "the next one")
        exchange.hang_up()

    origin.misbehave(hang_until_asked_again, kind="blob", method="GET", times=2)
    assert darter.blob(REPO, image.layers[0]).body == image.blobs[image.layers[0]]
    assert "source_failed" not in darter.log_so_far()


def test_a_slow_source_is_waited_for_to_the_end_of_the_deadline(run_darter, origin):
    """Asking again must not take away the time that the first question needs."""
    image = origin.add(REPO, make_image([100_000]), "latest")
    darter = run_darter({"test.local": [origin.url]}, ["--head-deadline", "9s"])
    origin.misbehave(faults.delay_headers(6), kind="blob", method="GET")
    assert darter.blob(REPO, image.layers[0]).body == image.blobs[image.layers[0]]


def test_where_another_source_is_ready_it_is_asked_instead(run_darter, origin, standby):
    image = make_image([100_000])
    for registry in (origin, standby):
        registry.add(REPO, image, "latest")
    darter = run_darter({"test.local": [origin.url, standby.url]}, ["--head-deadline", "9s"])
    origin.misbehave(faults.hang(), kind="blob", method="GET")
    assert darter.blob(REPO, image.layers[0]).body == image.blobs[image.layers[0]]
    assert " asked_again " not in darter.log_so_far()


def test_the_framing_of_an_error_is_not_trusted(run_darter, origin, standby):
    """docker-registry sends 416 with the blob's length and a few bytes of text."""
    image = two_registries(origin, standby, 8 * MIB)
    digest = image.layers[0]
    darter = run_darter({"test.local": [origin.url, standby.url]}, IMPATIENT)
    assert darter.manifest(REPO, "latest").status == 200
    origin.misbehave(faults.cut(5 * MIB), kind="blob", method="GET", times=1)
    origin.misbehave(faults.refuse_range(416), kind="blob", method="GET")
    response = darter.blob(REPO, digest)
    assert response.is_complete and response.body == image.blobs[digest]


def test_a_range_answered_with_another_range_is_not_believed(run_darter, origin, standby):
    image = two_registries(origin, standby, 8 * MIB)
    digest = image.layers[0]
    darter = run_darter({"test.local": [origin.url, standby.url]}, IMPATIENT)
    assert darter.manifest(REPO, "latest").status == 200
    origin.misbehave(faults.cut(5 * MIB), kind="blob", method="GET", times=1)
    origin.misbehave(faults.wrong_content_range(), kind="blob", method="GET")
    response = darter.blob(REPO, digest)
    assert response.is_complete and response.body == image.blobs[digest]


@pytest.mark.parametrize("fault", [faults.chunked(), faults.close_delimited(),
                                   faults.header("Docker-Content-Digest", None),
                                   faults.header("Content-Type", None),
                                   faults.header("Accept-Ranges", None)],
                         ids=["chunked", "close-delimited", "no digest", "no type", "no ranges"])
def test_an_odd_but_right_blob_is_accepted(darter, origin, fault):
    image = origin.add(REPO, make_image([300_000]), "latest")
    origin.misbehave(fault, kind="blob", method="GET")
    darter.pull(REPO, "latest", image)
    origin.forget()
    darter.pull(REPO, "latest", image)
    assert origin.count(method="GET", kind="blob") == 0
