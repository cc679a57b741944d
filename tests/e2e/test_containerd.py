"""containerd through the daemon: hosts.toml, and the daemon as a registry by its own address."""
from lib import pulls, scenes

CLIENT = "containerd"


class TestPulls(pulls.AsksElsewhere):
    pass


def test_the_daemon_as_a_registry_by_its_own_address(lab, client):
    with scenes.Scene(lab, client, n_endpoints=1) as scene:
        host, port = scene.darter.address
        pull = client.pull_direct(f"{host}:{port}", f"{scene.repo}:latest")
        assert pull.ok, pull
        assert not scene.used_docker_io()
        client.forget(f"{host}:{port}/{scene.repo}:latest")
