"""The supernode's admin API, its options and its reload, asked of the real daemon."""
import json
import os
import re
import signal
import subprocess

import pytest

from lib import wire
from lib.proxy import binary_folder, quiet_port, wait_until
from lib.supernode import CLUSTER_KEY, Supernode, write_key_file

MIB = 1024 * 1024
DIGEST = "sha256:" + "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


@pytest.fixture
def run_supernode(origin):
    """A function that starts a supernode of one upstream, stopped at the end of the test."""
    running = []

    def run(options=(), **more):
        supernode = Supernode({"test.local": [origin.url]}, options, **more)
        supernode.__enter__()
        running.append(supernode)
        return supernode
    yield run
    for supernode in reversed(running):
        supernode.__exit__(None, None, None)


@pytest.fixture
def supernode(run_supernode):
    return run_supernode()


def nodes(supernode):
    return {node["name"]: node for node in supernode.ask_admin("/v1/nodes").json()["nodes"]}


def rewrite(supernode, text):
    with open(os.path.join(supernode.folder, "darter.yaml"), "w", encoding="utf-8") as file:
        file.write(text)


def reload(supernode):
    seen = len(supernode.log)
    os.kill(supernode.pid, signal.SIGHUP)
    wait_until(lambda: " reloaded " in supernode.log[seen:], "the reload")
    return supernode.log[seen:]


def test_it_starts_says_who_it_is_and_stops(supernode):
    index = supernode.ask_admin("/v1").json()
    assert index["program"] == "darter-supernode"
    paths = {(route["method"], route["path"]) for route in index["routes"]}
    assert {("GET", "/v1/nodes"), ("GET", "/v1/tasks"), ("GET", "/v1/cache"),
            ("POST", "/v1/nodes/{name}/ban"), ("PUT", "/v1/limits")} <= paths
    assert len(paths) == len(index["routes"]), "a route is listed twice"
    assert supernode.ask_admin("/healthz").status == 200
    assert supernode.ask_admin("/readyz").json()["status"] == "ready"
    supernode.stop()
    assert "signal=SIGTERM" in supernode.log


def test_every_list_can_be_asked_while_nobody_is_there(supernode):
    assert supernode.ask_admin("/v1/nodes").json() == {"site": "test", "nodes": []}
    assert supernode.ask_admin("/v1/tasks").json() == {"tasks": []}
    assert supernode.ask_admin("/v1/fills").json() == {"tasks": []}
    assert supernode.ask_admin("/v1/peers").json() == {"peers": []}
    assert supernode.ask_admin("/v1/cache").json()["blobs"] == []
    upstreams = supernode.ask_admin("/v1/upstreams").json()["upstreams"]
    assert [upstream["name"] for upstream in upstreams] == ["test.local"]
    options = supernode.ask_admin("/v1/config").json()["options"]
    assert (options["site"], options["name"]) == ("test", "test-a")
    assert CLUSTER_KEY not in supernode.ask_admin("/v1/config").body.decode()
    assert CLUSTER_KEY not in supernode.log


def test_an_unknown_task_is_not_found(supernode):
    assert supernode.ask_admin(f"/v1/tasks/{DIGEST}").status == 404
    assert supernode.ask_admin(f"/v1/tasks/{DIGEST}/limit?rate=1MiB", "PUT").status == 404
    assert supernode.ask_admin(f"/v1/tasks/{DIGEST}/limit", "DELETE").status == 404
    assert supernode.ask_admin(f"/v1/tasks/{DIGEST}/limit", "PUT").status == 400
    assert supernode.ask_admin(f"/v1/tasks/{DIGEST}/limit?rate=fast", "PUT").status == 400
    assert supernode.ask_admin("/v1/tasks/x").status == 400


def test_a_node_is_banned_and_taken_in_again(supernode):
    assert supernode.ask_admin("/v1/nodes/web-7/ban?reason=bad+disk", "POST").status == 204
    node = nodes(supernode)["web-7"]
    assert node["state"] == "banned" and "bad" in node["ban_reason"]
    assert supernode.ask_admin("/v1/nodes/web-7/ban", "DELETE").status == 204
    assert supernode.ask_admin("/v1/nodes/web-7/ban", "DELETE").status == 404
    assert nodes(supernode).get("web-7", {}).get("state") != "banned"


def test_a_ban_survives_a_restart(supernode):
    assert supernode.ask_admin("/v1/nodes/web-7/ban?reason=test", "POST").status == 204
    supernode.restart()
    assert nodes(supernode)["web-7"]["state"] == "banned"


@pytest.mark.parametrize("target, method", [
    ("/v1/nodes/a%2Fb/ban", "POST"), ("/v1/nodes/a%20b/ban", "DELETE"),
    ("/v1/nodes/a%zz/ban", "POST"), (f"/v1/nodes/{'a' * 65}/ban", "POST"),
    ("/v1/nodes/a%2Fb/limits?up=1MiB", "PUT"), ("/v1/nodes/a%2Fb/limits", "DELETE"),
    ("/v1/nodes/a/limits", "PUT"), ("/v1/nodes/a/limits?up=x", "PUT"),
    ("/v1/nodes/a/limits?up=100", "PUT"), ("/v1/limits?task=100", "PUT"),
    ("/v1/nodes/a/limits?down=x", "PUT"), (f"/v1/nodes/a/ban?reason={'x' * 1000}", "POST"),
    ("/v1/limits", "PUT"), ("/v1/limits?up=x", "PUT"), ("/v1/limits?up=1MiB&task=x", "PUT")])
def test_what_makes_no_sense_is_a_bad_request(supernode, target, method):
    before = supernode.ask_admin("/v1/limits").json()
    response = supernode.ask_admin(target, method)
    assert response.status == 400, response
    assert response.header("Content-Type") == "application/problem+json"
    assert response.json()["detail"]
    assert supernode.ask_admin("/v1/limits").json() == before


def test_a_wrong_method_says_which_are_right(supernode):
    response = supernode.ask_admin("/v1/nodes/web-7/ban")
    assert response.status == 405 and response.header("Allow") == "POST, DELETE", response


def test_limits_of_one_node_are_kept_for_it(supernode):
    assert supernode.ask_admin("/v1/nodes/web-7/limits?up=5MiB&down=6MiB", "PUT").status == 204
    node = nodes(supernode)["web-7"]
    assert (node["up_limit"], node["down_limit"]) == (5 * MIB, 6 * MIB) and node["own_limits"]
    assert supernode.ask_admin("/v1/nodes/web-7/limits", "DELETE").status == 204
    assert not nodes(supernode).get("web-7", {}).get("own_limits", False)


def test_limits_change_while_it_runs(run_supernode):
    supernode = run_supernode(["--limit-up", "10MiB"], config="task-limit: 3MiB\n")
    assert supernode.ask_admin("/v1/limits").json() == {
        "up": 10 * MIB, "down": None, "task": 3 * MIB, "node_up": None, "node_down": None}
    assert supernode.ask_admin(
        "/v1/limits?up=0B&down=1MiB&task=7MiB&node-up=8MiB&node-down=9MiB", "PUT").json() == {
            "up": None, "down": MIB, "task": 7 * MIB, "node_up": 8 * MIB, "node_down": 9 * MIB}
    rewrite(supernode, "task-limit: 4MiB\n")
    assert "option=task-limit" in reload(supernode)
    assert supernode.ask_admin("/v1/limits").json() == {
        "up": 10 * MIB, "down": None, "task": 4 * MIB, "node_up": None, "node_down": None}


def test_a_drained_supernode_says_so(supernode):
    assert supernode.ask_admin("/v1/drain", "POST").status == 204
    assert supernode.ask_admin("/readyz").status == 503
    assert supernode.metric("darter_supernode_draining") == 1
    assert supernode.ask_admin("/healthz").status == 200
    assert supernode.ask_admin("/v1/drain", "DELETE").status == 204
    assert supernode.ask_admin("/readyz").status == 200
    assert supernode.metric("darter_supernode_draining") == 0


def test_the_other_supernode_of_a_pair_is_watched(run_supernode):
    def peer():
        return first.ask_admin("/v1/peers").json()["peers"][0]

    second = run_supernode(name="test-b", listen=f"127.0.0.1:{quiet_port()}")
    first = run_supernode(["--peer-supernode", second.url])
    wait_until(lambda: peer()["up"] and first.metric("darter_supernode_peer_up") == 1,
               "the other to be up")
    assert peer()["url"] == second.url and peer()["since"]
    second.stop()
    wait_until(lambda: not peer()["up"], "the other to be down")
    assert first.metric("darter_supernode_peer_up") == 0
    wait_until(lambda: "peer_down" in first.log, "the line")
    second.start()
    wait_until(lambda: peer()["up"], "the other to be up again")
    assert second.ask_admin("/v1/nodes").json()["nodes"] == []  # asking makes nobody a node


def test_metrics_are_valid(supernode):
    text = supernode.ask_admin("/metrics").body.decode()
    for line in text.splitlines():
        if not line.startswith("#"):
            float(line.rsplit(" ", 1)[1])
    for name in ("darter_supernode_nodes", "darter_supernode_tasks", "darter_cache_used_bytes",
                 "darter_supernode_exchanges_total", "darter_upload_bytes_total"):
        assert supernode.metric(name) >= 0


def test_the_nodes_port_has_no_admin(supernode):
    for target in ("/v1/nodes", "/v1/cache", "/metrics", "/healthz"):
        assert supernode.get(target).status == 404, target


def test_a_page_in_a_browser_cannot_reach_the_admin_port(supernode):
    assert wire.fetch(supernode.admin, "POST", "/v1/drain", host="evil.test").status == 403
    assert supernode.ask_admin("/readyz").status == 200


def test_an_admin_token_is_asked_for(run_supernode, tmp_path):
    token = tmp_path / "token"
    token.write_text("word-of-the-day\n")
    supernode = run_supernode(["--admin-token-file", str(token)])
    assert supernode.ask_admin("/v1/nodes").status == 401
    right = [("Authorization", "Bearer word-of-the-day")]
    assert supernode.ask_admin("/v1/nodes", headers=right).status == 200


def test_a_reload_takes_new_keys_and_keeps_the_old_when_they_are_wrong(supernode):
    write_key_file(supernode.key_file, "another-secret-0123456789", CLUSTER_KEY)
    log = reload(supernode)
    assert "cluster_key_kept" not in log
    assert re.search(r'cluster_key_read .* keys="k[0-9a-f]{7} k[0-9a-f]{7}"', log), log
    write_key_file(supernode.key_file, "short")
    assert "cluster_key_kept" in reload(supernode)
    assert supernode.ask_admin("/readyz").status == 200
    write_key_file(supernode.key_file, CLUSTER_KEY)  # for the stop and what follows


def test_a_wrong_file_changes_nothing(supernode):
    before = supernode.ask_admin("/v1/config").json()
    rewrite(supernode, "task-limit: 1MiB\nno-such-key: 1\n")
    seen = len(supernode.log)
    os.kill(supernode.pid, signal.SIGHUP)
    wait_until(lambda: "reload_refused" in supernode.log[seen:], "the refusal")
    assert "no-such-key" in supernode.log[seen:]
    assert supernode.ask_admin("/v1/config").json() == before
    rewrite(supernode, "site: elsewhere\n")
    assert "option=site" not in reload(supernode)  # a flag still wins


@pytest.mark.parametrize("options, word", [
    (["--no-such-flag"], "no-such-flag"), (["--site", "a/b"], "site"),
    (["--admin-listen", "0.0.0.0:0"], "admin-token-file"), (["--listen", "unix:/x"], "IP:PORT")])
def test_a_wrong_option_is_refused_with_its_name(run_supernode, options, word):
    with pytest.raises(AssertionError, match="ended with status 2") as caught:
        run_supernode(options)
    assert word in str(caught.value)


def test_a_key_file_that_cannot_be_used_ends_the_start(run_supernode, tmp_path):
    for secrets, mode in ((["short"], 0o600), ([CLUSTER_KEY], 0o644)):
        path = write_key_file(tmp_path / "key", *secrets)
        os.chmod(path, mode)
        with pytest.raises(AssertionError, match="ended with status 1") as caught:
            run_supernode(["--cluster-key-file", path])
        assert path in str(caught.value)


# ---- the tool `darter` ----

@pytest.fixture
def cli(supernode):
    """Runs a command against the supernode of this test."""
    def run(*words):
        return subprocess.run(
            [os.path.join(binary_folder(), "darter"), "--admin",
             f"{supernode.admin[0]}:{supernode.admin[1]}", *words],
            text=True, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=20)
    return run


def test_the_tool_bans_nodes_and_shows_them(cli):
    result = cli("ban", "web-7", "web-8", "--reason", "bad disk & more")
    assert (result.returncode, result.stdout) == (0, "banned web-7\nbanned web-8\n"), result
    table = cli("nodes").stdout
    assert table.startswith("NODE") and "web-8" in table and "bad disk & more" in table
    listed = json.loads(cli("nodes", "--json").stdout)["nodes"]
    assert [node["name"] for node in listed] == ["web-7", "web-8"]
    assert cli("unban", "web-7").stdout == "unbanned web-7\n"
    again = cli("unban", "web-7", "web-8")
    assert again.returncode == 3 and again.stdout == "unbanned web-8\n", again
    assert cli("ban", "a/b").returncode == 2


def test_the_tool_drains_and_limits(cli, supernode):
    assert cli("drain").stdout == "draining\n"
    assert supernode.ask_admin("/readyz").status == 503
    assert cli("undrain").returncode == 0
    assert supernode.ask_admin("/readyz").status == 200
    assert cli("limits").stdout.count("no limit") == 5
    result = cli("limits", "--up", "10MiB", "--node-down", "1MiB")
    assert "10 MiB/s" in result.stdout and result.stdout.count("no limit") == 3, result
    assert json.loads(cli("limits", "--json", "--up", "0B").stdout)["up"] is None
    assert cli("limits", "--up", "fast").returncode == 2
    assert cli("tasks").stdout == "0 running\n"
    assert json.loads(cli("tasks", "--json").stdout) == {"tasks": []}


def test_the_tool_shows_the_other_supernodes(run_supernode):
    first = run_supernode(["--peer-supernode", "http://127.0.0.1:1"])
    wait_until(lambda: "peer_down" in first.log, "the other to be missed")
    result = subprocess.run(
        [os.path.join(binary_folder(), "darter"), "--admin",
         f"{first.admin[0]}:{first.admin[1]}", "supernodes"],
        text=True, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=20)
    assert result.returncode == 0, result
    assert re.search(r"http://127.0.0.1:1 +down +20", result.stdout), result


def test_the_tool_tells_a_proxy_from_a_supernode(darter):
    for words in (["nodes"], ["nodes", "--json"], ["drain"], ["limits"], ["ban", "x"]):
        result = subprocess.run(
            [os.path.join(binary_folder(), "darter"), "--admin",
             f"{darter.admin[0]}:{darter.admin[1]}", *words],
            text=True, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=20)
        assert result.returncode == 2 and "asks a supernode" in result.stderr, result
        assert "127.0.0.1:65011" in result.stderr, result
