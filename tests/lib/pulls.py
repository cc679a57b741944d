"""tests/lib/pulls.py - what every container client has to do through the daemon; tests/e2e has a file
for each client, with a class of tests that is one of these.

    CLIENT = "docker"
    class TestPulls(pulls.AsksElsewhere): ...
"""
import pytest

from lib import faults, scenes


class Pulls:
    def test_cold_and_warm(self, lab, client):
        scenes.cold_and_warm(lab, client)

    def test_an_image_for_many_architectures(self, lab, client):
        scenes.multi_architecture(lab, client)

    def test_oci_types(self, lab, client):
        scenes.oci_types(lab, client)

    def test_a_pull_by_digest(self, lab, client):
        scenes.by_digest(lab, client)

    def test_a_pulled_image_is_pulled_again_while_upstream_is_away(self, lab, client):
        scenes.upstream_away_after_a_pull(lab, client)

    def test_without_the_daemon_the_pull_works(self, lab, client):
        scenes.daemon_not_running(lab, client)

    def test_what_the_daemon_does_not_have_comes_from_the_registry(self, lab, client):
        scenes.registry_that_the_daemon_does_not_know(lab, client)

    def test_a_first_endpoint_that_drops_packets(self, lab, client):
        scenes.first_endpoint_drops_packets(lab, client)

    @pytest.mark.parametrize("name", [*scenes.BLOB_FAULTS, *scenes.MANIFEST_FAULTS,
                                      *scenes.HEAD_FAULTS, *scenes.REFUSALS])
    def test_a_fault_with_a_healthy_second_endpoint(self, lab, client, name):
        scenes.fault_with_a_healthy_second(lab, client, name)

    @pytest.mark.parametrize("fault", [faults.status(503), faults.close(), faults.hang(2)],
                             ids=["503", "closed", "silent"])
    def test_an_endpoint_that_is_down_for_good(self, lab, client, fault):
        scenes.endpoint_down_for_good(lab, client, fault)


class AsksElsewhere(Pulls):
    """Clients that ask the registry themselves where the mirror says no."""

    @pytest.mark.parametrize("name", [*scenes.BLOB_FAULTS, *scenes.MANIFEST_FAULTS])
    def test_a_passing_fault_of_the_only_endpoint(self, lab, client, name):
        scenes.fault_at_the_only_endpoint(lab, client, name)


class AsksNobodyElse(Pulls):
    """Clients that read blobs from where the manifest came from: a definite no of the only endpoint
    is passed on, and they ask nobody else."""

    @pytest.mark.parametrize("name", sorted(
        {*scenes.BLOB_FAULTS, *scenes.MANIFEST_FAULTS}
        - {"blob 403", "blob 404", "redirect to nowhere"}))
    def test_a_passing_fault_of_the_only_endpoint(self, lab, client, name):
        scenes.fault_at_the_only_endpoint(lab, client, name)
