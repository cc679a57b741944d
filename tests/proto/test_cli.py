"""The tool `darter` against the real daemon: what people type, see, and script."""
import json
import os
import pty
import signal
import subprocess

import pytest

from lib import faults
from lib.image import make_image
from lib.proxy import binary_folder, wait_until

REPO = "library/web"
MIB = 1024 * 1024
LIMIT_S = 20


def run(*words, env=None):
    return subprocess.run([os.path.join(binary_folder(), "darter"), *words], text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, check=False,
                          timeout=LIMIT_S, env=dict(os.environ, **(env or {})))


def admin_of(darter):
    return f"{darter.admin[0]}:{darter.admin[1]}"


@pytest.fixture
def cli(darter):
    """Runs a command against the daemon of this test."""
    return lambda *words: run("--admin", admin_of(darter), *words)


@pytest.fixture
def digest(darter, image):
    """A layer that is in the cache and in its index."""
    darter.pull(REPO, "latest", image)
    layer = image.layers[0]
    wait_until(lambda: layer in darter.ask_admin("/v1/cache?state=sealed").body.decode(),
               "the entry")
    return layer


def test_the_cache_is_listed(cli, digest):
    result = cli("cache", "ls")
    assert result.returncode == 0 and result.stderr == "", result
    assert result.stdout.startswith("DIGEST")
    assert digest.split(":")[1][:12] in result.stdout


def test_a_list_as_json_has_every_entry(cli, digest, image):
    def everything():
        blobs = json.loads(cli("cache", "ls", "--json").stdout)
        return {blob["digest"] for blob in blobs} >= set(image.layers)

    wait_until(everything, "all layers in the list")


def test_a_list_is_filtered(cli, digest):
    ours = json.loads(cli("cache", "ls", "--json", "--upstream", "test.local", "--repository",
                          REPO, "--state", "sealed").stdout)
    assert digest in {blob["digest"] for blob in ours}
    assert json.loads(cli("cache", "ls", "--json", "--pinned").stdout) == []
    others = json.loads(cli("cache", "ls", "--json", "--upstream", "test.local", "--repository",
                            "library/other").stdout)
    assert others == []


def test_a_short_digest_is_enough(cli, digest):
    result = cli("cache", "show", digest.split(":")[1][:8])
    assert result.returncode == 0, result
    assert digest in result.stdout and f"test.local/{REPO}" in result.stdout
    assert json.loads(cli("cache", "show", digest, "--json").stdout)["digest"] == digest


def test_a_blob_is_pinned_and_removed(cli, digest):
    assert cli("cache", "pin", digest).returncode == 0
    refused = cli("cache", "rm", digest)
    assert refused.returncode == 1 and "pinned" in refused.stderr, refused
    assert cli("cache", "unpin", digest).returncode == 0
    assert cli("cache", "rm", digest).returncode == 0
    assert cli("cache", "show", digest).returncode == 3


def test_what_is_not_there_is_exit_status_3(cli, digest):
    assert cli("cache", "show", "f" * 64).returncode == 3
    assert cli("cache", "show", "0123456789abcdef").returncode == 3
    mixed = cli("cache", "pin", "f" * 64, digest)
    assert mixed.returncode == 3 and f"pinned {digest}" in mixed.stdout, mixed


def test_statistics_are_shown(cli, digest):
    result = cli("cache", "stats")
    assert result.returncode == 0 and "hit ratio" in result.stdout, result
    usage = json.loads(cli("cache", "stats", "--json").stdout)["usage"]
    assert usage["usable"] and usage["used_bytes"] > 0


def test_a_scrub_is_started_and_followed(cli, digest):
    assert cli("cache", "scrub", "--rate", "1GiB").returncode == 0

    def finished():
        status = json.loads(cli("cache", "scrub", "--status", "--json").stdout)
        return not status["running"] and status["checked"] > 0 and status["bad"] == 0

    wait_until(finished, "the end of the scrub")
    assert cli("cache", "scrub", "--stop").returncode == 0


def test_endpoints_are_shown(cli, origin):
    result = cli("upstreams")
    assert result.returncode == 0 and origin.url in result.stdout and "closed" in result.stdout
    assert json.loads(cli("upstreams", "--json").stdout)["upstreams"][0]["name"] == "test.local"


def test_a_running_download_is_shown_once_into_a_pipe(cli, darter, origin):
    image = origin.add(REPO, make_image([8 * MIB]), "latest")
    gate = faults.Gate(after=5 * MIB)
    origin.misbehave(gate, kind="blob", method="GET")
    with darter.connect() as connection:
        connection.send_request("GET", f"/v2/{REPO}/blobs/{image.layers[0]}")
        head = connection.read_head()
        shown = cli("tasks")
        assert shown.returncode == 0, shown
        assert image.layers[0].split(":")[1][:12] in shown.stdout and "origin" in shown.stdout
        assert "\x1b" not in shown.stdout
        tasks = json.loads(cli("tasks", "--json").stdout)["tasks"]
        assert tasks[0]["digest"] == image.layers[0] and tasks[0]["clients"] == 1
        gate.open()
        assert connection.read_body(head).is_complete


def test_a_terminal_is_drawn_over_until_interrupted(darter):
    ours, theirs = pty.openpty()
    process = subprocess.Popen([os.path.join(binary_folder(), "darter"), "--admin",
                                admin_of(darter), "tasks"], stdin=theirs, stdout=theirs,
                               stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while b"\x1b[1F" not in shown:  # back up over the one line of the frame before
            shown += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert shown.startswith(b"0 running\r\n"), shown


def test_a_daemon_that_goes_away_ends_the_live_view(run_darter, origin):
    darter = run_darter({"test.local": [origin.url]})
    ours, theirs = pty.openpty()
    process = subprocess.Popen([os.path.join(binary_folder(), "darter"), "--admin",
                                admin_of(darter), "tasks"], stdin=theirs, stdout=theirs,
                               stderr=theirs)
    os.close(theirs)
    try:
        shown = b""
        while b"running" not in shown:
            shown += os.read(ours, 4096)
        darter.stop()
        assert process.wait(LIMIT_S) == 4
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_the_address_comes_from_the_environment(darter):
    assert run("tasks", env={"DARTER_ADMIN": admin_of(darter)}).returncode == 0


def test_a_unix_socket_and_a_token_are_used(run_darter, origin, tmp_path):
    token = tmp_path / "token"
    token.write_text("word-of-the-day\n")
    token.chmod(0o600)
    path = f"unix:{tmp_path}/admin.sock"
    run_darter({"test.local": [origin.url]}, ["--admin-listen", path, "--admin-token-file",
                                              str(token)])
    refused = run("--admin", path, "upstreams")
    assert refused.returncode == 1 and "--token-file" in refused.stderr, refused
    assert run("--admin", path, "--token-file", str(token), "upstreams").returncode == 0


def test_a_node_without_a_key_is_in_no_swarm(cli):
    result = cli("supernodes")
    assert result.returncode == 0 and "in no swarm: cluster-key-file is not set" in result.stdout
    assert "SUPERNODE" not in result.stdout


def test_nobody_there_is_exit_status_4(tmp_path):
    result = run("--admin", f"unix:{tmp_path}/none.sock", "tasks")
    assert result.returncode == 4 and "none.sock" in result.stderr, result


def test_an_upstream_that_does_not_exist_is_named(cli, digest):
    result = cli("cache", "ls", "--upstream", "test.lokal")
    assert result.returncode == 2, result
    assert "unknown upstream" in result.stderr and "test.local" in result.stderr, result


def test_what_an_upstream_of_before_left_is_still_listed(run_darter, origin, image, tmp_path):
    darter = run_darter({"old.test": [origin.url]}, folder=str(tmp_path))
    darter.pull(REPO, "latest", image)
    wait_until(lambda: image.layers[0] in darter.ask_admin("/v1/cache?state=sealed").body.decode(),
               "the entry")
    darter.stop()
    darter.upstreams = {"new.test": [origin.url]}
    darter.start()
    result = run("--admin", admin_of(darter), "cache", "ls", "--upstream", "old.test")
    assert result.returncode == 0 and image.layers[0].split(":")[1][:12] in result.stdout, result


def test_a_value_that_makes_no_sense_is_exit_status_2(cli):
    for words in (["cache", "ls", "--state", "foo"], ["cache", "scrub", "--rate", "fast"],
                  ["cache", "show", "no-digest"]):
        result = cli(*words)
        assert result.returncode == 2 and result.stderr.startswith("darter: "), result


def test_a_wrong_command_line_is_exit_status_2():
    for words in (["cache"], ["cash"], ["tasks", "--no"], ["--admin", "nowhere", "tasks"],
                  ["--token-file", "/none/here", "tasks"]):
        result = run(*words)
        assert result.returncode == 2 and result.stderr.startswith("darter: "), result
