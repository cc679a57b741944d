"""The admin API: what operators and their monitoring see."""
import os
import re

import pytest

from lib import faults, wire
from lib.image import make_image
from lib.proxy import wait_until

REPO = "library/web"
MIB = 1024 * 1024


def test_health_and_readiness(darter):
    assert darter.ask_admin("/healthz").status == 200
    assert darter.ask_admin("/readyz").status == 200


def test_the_cache_is_shown(darter, image):
    darter.pull(REPO, "latest", image)
    digest = image.layers[1]
    wait_until(lambda: digest in darter.ask_admin("/v1/cache").body.decode(), "its row in the list")
    entry = darter.ask_admin(f"/v1/cache/{digest}").json()
    assert entry["digest"] == digest
    assert entry["state"] == "sealed"
    assert entry["size_bytes" if "size_bytes" in entry else "size"] == len(image.blobs[digest])


def test_an_entry_can_be_pinned_and_removed(darter, origin, image):
    darter.pull(REPO, "latest", image)
    digest = image.layers[1]
    wait_until(lambda: digest in darter.ask_admin("/v1/cache").body.decode(), "its row in the list")
    assert darter.ask_admin(f"/v1/cache/{digest}/pin", "PUT").status in (200, 204)
    assert darter.ask_admin(f"/v1/cache/{digest}", "DELETE").status == 409
    assert darter.ask_admin(f"/v1/cache/{digest}/pin", "DELETE").status in (200, 204)
    assert darter.ask_admin(f"/v1/cache/{digest}", "DELETE").status in (200, 204)
    assert darter.ask_admin(f"/v1/cache/{digest}").status == 404
    origin.forget()
    assert darter.blob(REPO, digest).body == image.blobs[digest]
    assert origin.count(kind="blob", method="GET") == 1


def test_upstreams_and_their_health_are_shown(run_darter, origin, standby, image):
    darter = run_darter({"test.local": [origin.url, standby.url]})
    origin.close()
    darter.manifest(REPO, "latest")
    text = darter.ask_admin("/v1/upstreams").body.decode()
    for word in ("test.local", origin.url, standby.url):
        assert word in text


def test_a_running_download_is_shown(darter, origin):
    image = origin.add(REPO, make_image([8 * MIB]), "latest")
    digest = image.layers[0]
    gate = faults.Gate(after=5 * MIB)
    origin.misbehave(gate, kind="blob", method="GET")
    with darter.connect() as connection:
        connection.send_request("GET", f"/v2/{REPO}/blobs/{digest}")
        head = connection.read_head()
        assert digest in darter.ask_admin("/v1/tasks").body.decode()
        gate.open()
        assert connection.read_body(head).is_complete
    wait_until(lambda: digest not in darter.ask_admin("/v1/tasks").body.decode(), "its end")


def test_the_configuration_is_shown_without_secrets(run_darter, origin, tmp_path):
    password = tmp_path / "password"
    password.write_text("very-secret\n")
    password.chmod(0o600)
    darter = run_darter({}, config=f"""
upstreams:
  - name: test.local
    endpoints:
      - {{url: "{origin.url}", username: robot, password-file: "{password}"}}
""")
    text = darter.ask_admin("/v1/config").body.decode()
    assert darter.cache in text
    assert "very-secret" not in text and "very-secret" not in darter.log


def test_every_metric_to_watch_is_there_before_its_first_event(darter):
    path = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "operations.md")
    with open(path, encoding="utf-8") as file:
        section = file.read().split("\n## Metrics\n")[1].split("\n## ")[0]
    wanted = set(re.findall(r"`(darter_[a-z_]+)", section)) - {"darter_supernode_up"}
    assert len(wanted) > 20
    shown = set(re.findall(r"^(darter_[a-z_]+)", darter.ask_admin("/metrics").body.decode(), re.M))
    assert not wanted - shown


def test_metrics_are_valid_and_move(darter, image):
    darter.pull(REPO, "latest", image)
    text = darter.ask_admin("/metrics").body.decode()
    for line in text.splitlines():
        assert line.startswith("#") or len(line.rsplit(" ", 1)) == 2, line
        if not line.startswith("#"):
            float(line.rsplit(" ", 1)[1])
    before = text
    darter.pull(REPO, "latest", image)
    assert darter.ask_admin("/metrics").body.decode() != before


def test_an_unknown_path_is_a_problem_document(darter):
    response = darter.ask_admin("/v1/none")
    assert response.status == 404
    assert response.header("Content-Type") == "application/problem+json"
    assert response.json()["status"] == 404


def test_a_wrong_method_says_which_are_right(darter):
    response = darter.ask_admin("/v1/cache", "POST")
    assert response.status == 405 and "GET" in response.header("Allow"), response


def test_the_mirror_port_has_no_admin(darter):
    for target in ("/v1/cache", "/metrics", "/healthz"):
        assert darter.get(target).status == 404


def test_a_page_in_a_browser_cannot_reach_the_admin_port(darter):
    """DNS rebinding: a name of theirs that means 127.0.0.1."""
    response = wire.fetch(darter.admin, "GET", "/v1/cache", host="evil.test")
    assert response.status in (400, 403, 421), response


def test_a_unix_socket_serves_admin(run_darter, origin, tmp_path):
    path = str(tmp_path / "admin.sock")
    darter = run_darter({"test.local": [origin.url]}, ["--admin-listen", f"unix:{path}"])
    assert wire.fetch(path, "GET", "/healthz", host="localhost").status == 200
    assert darter.admin == path


def test_an_admin_token_is_asked_for(run_darter, origin, tmp_path):
    token = tmp_path / "token"
    token.write_text("word-of-the-day\n")
    token.chmod(0o600)
    darter = run_darter({"test.local": [origin.url]}, ["--admin-token-file", str(token)])
    assert darter.ask_admin("/v1/cache").status == 401
    assert darter.ask_admin("/v1/cache", headers=[("Authorization", "Bearer wrong")]).status == 401
    right = [("Authorization", "Bearer word-of-the-day")]
    assert darter.ask_admin("/v1/cache", headers=right).status == 200
    assert darter.ask_admin("/healthz").status == 200


@pytest.mark.parametrize("arguments, word", [
    (["--no-such-flag"], "no-such-flag"), (["--cache-max", "many"], "cache-max"),
    (["--log-level", "loud"], "log-level"), (["--tls-cert", "/x"], "tls-key"),
    (["--default-upstream", "none.test"], "none.test"), (["--upstream", "x=ftp://a"], "upstream"),
    (["--admin-listen", "0.0.0.0:0"], "admin-token-file")])
def test_a_wrong_option_is_refused_with_its_name(run_darter, origin, arguments, word):
    with pytest.raises(AssertionError, match="ended with status") as caught:
        run_darter({"test.local": [origin.url]}, arguments)
    assert word in str(caught.value)


@pytest.mark.parametrize("config, word", [
    ("no-such-key: 1\n", "no-such-key"), ("cache-max: [1\n", "darter.yaml:2"),
    ("upstreams: 7\n", "upstreams"), ("tag-fresh: soon\n", "tag-fresh")])
def test_a_wrong_file_is_refused_with_file_and_line(run_darter, origin, config, word):
    with pytest.raises(AssertionError, match="ended with status") as caught:
        run_darter({"test.local": [origin.url]}, config=config)
    assert word in str(caught.value) and "darter.yaml" in str(caught.value)
