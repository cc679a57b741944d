"""SIGHUP: what changes while the daemon runs, and what does not."""
import os
import signal

from lib.proxy import wait_until

GIB = 1024 * 1024 * 1024


def rewrite(darter, text):
    with open(os.path.join(darter.folder, "darter.yaml"), "w", encoding="utf-8") as file:
        file.write(text)


def reload(darter, word):
    """Sends SIGHUP and waits for a line of its own with this word."""
    seen = len(darter.log)
    os.kill(darter.pid, signal.SIGHUP)
    wait_until(lambda: word in darter.log[seen:], word)
    return darter.log[seen:]


def options_of(darter):
    return darter.ask_admin("/v1/config").json()["options"]


def test_bounds_change_without_a_restart(run_darter, origin):
    darter = run_darter({"test.local": [origin.url]}, config="cache-min-free: 1MiB\n")
    rewrite(darter, "cache-min-free: 2MiB\ndrain: 5s\n")
    log = reload(darter, " reloaded ")
    assert "option=cache-min-free" in log and "option=drain" in log
    usage = darter.ask_admin("/v1/cache?limit=0").json()["usage"]
    assert usage["min_free_bytes"] == 2 * 1024 * 1024
    assert options_of(darter)["drain"] == "5s"


def test_a_flag_still_wins_after_a_reload(run_darter, origin):
    darter = run_darter({"test.local": [origin.url]}, cache_max="1GiB")
    rewrite(darter, "cache-max: 2GiB\n")
    reload(darter, " reloaded ")
    assert darter.ask_admin("/v1/cache?limit=0").json()["usage"]["max_bytes"] == GIB


def test_a_wrong_file_changes_nothing(run_darter, origin):
    darter = run_darter({"test.local": [origin.url]}, config="cache-min-free: 1MiB\n")
    before = options_of(darter)
    rewrite(darter, "cache-min-free: 2MiB\nno-such-key: 1\n")
    log = reload(darter, "reload_refused")
    assert "no-such-key" in log and "darter.yaml:2" in log
    assert options_of(darter) == before
    assert darter.get("/v2/").status in (200, 401)


def test_what_needs_a_restart_is_named(run_darter, origin):
    darter = run_darter({"test.local": [origin.url]}, config="tag-fresh: 60s\n")
    rewrite(darter, "tag-fresh: 30s\n"
                    "upstreams: [{name: new.test, endpoints: [https://new.test]}]\n")
    log = reload(darter, " reloaded ")
    assert "restart_needed" in log and "option=tag-fresh" in log and "option=upstreams" in log
    assert options_of(darter)["tag-fresh"] == "1m"
    assert darter.get("/v2/x/manifests/y?ns=new.test").status == 404


def test_a_new_admin_token_replaces_the_old(run_darter, origin, tmp_path):
    def status(word):
        return darter.ask_admin("/v1", headers=[("Authorization", f"Bearer {word}")]).status

    token = tmp_path / "token"
    token.write_text("word-of-the-day\n")
    darter = run_darter({"test.local": [origin.url]}, ["--admin-token-file", str(token)])
    assert status("word-of-the-day") == 200
    token.write_text("word-of-tomorrow\n")
    reload(darter, " reloaded ")
    assert (status("word-of-the-day"), status("word-of-tomorrow")) == (401, 200)
    token.write_text("short\n")
    assert "token_kept" in reload(darter, " reloaded ")
    assert status("word-of-tomorrow") == 200


def test_a_reload_without_a_file_names_none(run_darter, origin):
    darter = run_darter({"test.local": [origin.url]}, config=False)
    said = [line for line in reload(darter, " reloaded ").splitlines() if " reloaded " in line]
    if os.path.exists("/etc/darter/darter-proxy.yaml"):
        assert "file=/etc/darter/darter-proxy.yaml" in said[0]
    else:
        assert "file=none" in said[0]


def test_a_readable_warning_stands_for_probable_mistakes(run_darter, origin):
    darter = run_darter({"test.local": [origin.url]}, ["--head-deadline", "40s"])
    assert "head-deadline" in darter.log and "containerd" in darter.log
