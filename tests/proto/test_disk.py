"""A cache that is full, small, unwritable or damaged never makes a pull fail."""
import os
import threading

import pytest

from lib.image import make_image
from lib.proxy import wait_until

REPO = "library/web"
MIB = 1024 * 1024


def files_of(folder):
    return [os.path.join(path, name) for path, _, names in os.walk(folder) for name in names]


def size_of(path):
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0  # evicted between the listing and the look


def bytes_of_blobs(folder):
    """Without the index."""
    return sum(size_of(path) for path in files_of(folder) if not path.endswith(".mdb"))


def assert_streams_through(darter, origin, size=5 * MIB):
    image = origin.add(REPO, make_image([1000, size]), "streamed")
    for _ in range(2):
        darter.pull(REPO, "streamed", image)
    digest = image.layers[1]
    part = darter.blob(REPO, digest, [("Range", "bytes=1000-1999")])
    if part.status == 206:
        assert part.body == image.blobs[digest][1000:2000]
    else:
        assert part.status == 200 and part.body == image.blobs[digest]
    return image


def test_a_disk_without_room_is_streamed_past(run_darter, origin):
    """The floor of free space is higher than any disk."""
    darter = run_darter({"test.local": [origin.url]}, ["--cache-min-free", "1000000GiB"])
    image = assert_streams_through(darter, origin)
    assert origin.blob_bytes[image.layers[1]] >= 2 * len(image.blobs[image.layers[1]])


def test_a_cache_folder_that_cannot_be_made_is_streamed_past(run_darter, origin, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    darter = run_darter({"test.local": [origin.url]}, folder=str(tmp_path))
    assert_streams_through(darter, origin)
    ready = darter.ask_admin("/readyz")
    assert ready.status == 200 and b"degraded" in ready.body, ready


def test_a_blob_larger_than_the_cache_is_streamed_past(run_darter, origin):
    darter = run_darter({"test.local": [origin.url]}, cache_max="4MiB")
    assert_streams_through(darter, origin, 6 * MIB)
    assert bytes_of_blobs(darter.cache) < 6 * MIB


def test_the_cache_stays_within_its_bounds_while_it_fills(run_darter, origin):
    darter = run_darter({"test.local": [origin.url]}, cache_max="12MiB")
    for number in range(12):
        image = origin.add(REPO, make_image([2 * MIB]), f"v{number}")
        darter.pull(REPO, f"v{number}", image)
        used = bytes_of_blobs(darter.cache)
        assert used <= 12 * MIB, f"{used} bytes after {number + 1} images"
    darter.pull(REPO, f"v{number}", image)
    usage = darter.ask_admin("/v1/cache").json()
    assert "usage" in usage or "used_bytes" in str(usage), usage


def test_many_blobs_at_once_stay_within_the_bounds(run_darter, origin):
    darter = run_darter({"test.local": [origin.url]}, cache_max="8MiB")
    image = origin.add(REPO, make_image([2 * MIB] * 8), "latest")
    results = []

    def client(digest):
        results.append(darter.blob(REPO, digest).body == image.blobs[digest])

    threads = [threading.Thread(target=client, args=(digest,)) for digest in image.layers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8 and all(results)


@pytest.mark.parametrize("damage", ["emptied", "overwritten", "cut"])
def test_a_damaged_index_costs_the_cache_and_no_pull(run_darter, origin, image, tmp_path, damage):
    darter = run_darter({"test.local": [origin.url]}, folder=str(tmp_path))
    darter.pull(REPO, "latest", image)
    darter.stop()
    for path in files_of(darter.cache):
        if path.endswith("data.mdb"):
            size = os.path.getsize(path)
            with open(path, "r+b") as file:
                if damage == "overwritten":
                    file.write(os.urandom(size))
                else:
                    file.truncate(0 if damage == "emptied" else size // 2)
    darter.start()
    darter.pull(REPO, "latest", image)


def test_blobs_whose_files_vanished_are_fetched_again(run_darter, origin, tmp_path):
    image = origin.add(REPO, make_image([2 * MIB]), "latest")
    darter = run_darter({"test.local": [origin.url]}, folder=str(tmp_path))
    darter.pull(REPO, "latest", image)
    darter.stop()
    gone = [path for path in files_of(darter.cache) if os.path.getsize(path) > 2 * MIB
            and not path.endswith(".mdb")]
    assert gone
    for path in gone:
        os.unlink(path)
    darter.start()

    def pulls():
        response = darter.blob(REPO, image.layers[0])
        return response.status == 200 and response.body == image.blobs[image.layers[0]]

    wait_until(pulls, "the blob from the origin")


def test_a_scrub_finds_a_rotten_blob(run_darter, origin, tmp_path):
    image = origin.add(REPO, make_image([2 * MIB]), "latest")
    digest = image.layers[0]
    darter = run_darter({"test.local": [origin.url]}, folder=str(tmp_path))
    darter.pull(REPO, "latest", image)
    wait_until(lambda: digest in darter.ask_admin("/v1/cache?state=sealed").body.decode(),
               "the seal")
    for path in files_of(darter.cache):
        if os.path.getsize(path) > 2 * MIB and not path.endswith(".mdb"):
            with open(path, "r+b") as file:
                file.seek(MIB)
                byte = file.read(1)
                file.seek(MIB)
                file.write(bytes([byte[0] ^ 0xFF]))
    assert darter.ask_admin("/v1/cache/scrub", "POST").status in (200, 202)
    wait_until(lambda: darter.ask_admin(f"/v1/cache/{digest}").status == 404,
               "the rotten blob to be removed")
    assert darter.blob(REPO, digest).body == image.blobs[digest]


def test_a_second_daemon_on_the_same_cache_is_refused(run_darter, origin, image, tmp_path):
    first = run_darter({"test.local": [origin.url]}, folder=str(tmp_path))
    first.pull(REPO, "latest", image)
    with pytest.raises(AssertionError, match="ended with status"):
        run_darter({"test.local": [origin.url]}, folder=str(tmp_path))
    first.pull(REPO, "latest", image)
