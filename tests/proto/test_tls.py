"""TLS on both sides: towards clients, and towards registries whose certificate must be right."""
import os
import shutil
import signal
import ssl
import subprocess

import pytest

from lib import wire
from lib.image import make_image
from lib.origin import Origin
from lib.proxy import wait_until

REPO = "library/web"


def make_certificate(folder):
    """(certificate, key) for 127.0.0.1, signed by itself."""
    paths = str(folder / "cert.pem"), str(folder / "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-out", paths[0], "-keyout", paths[1]], check=True, capture_output=True)
    return paths


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secure_origin(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with Origin(tls=context) as origin:
        origin.image = origin.add(REPO, make_image([1000, 300_000]), "latest")
        yield origin


def config_of(origin, **more):
    keys = "".join(f", {key}: {value}" for key, value in more.items())
    return f"""
upstreams:
  - name: test.local
    endpoints:
      - {{url: "{origin.url}"{keys}}}
"""


def test_clients_are_served_over_tls_with_http_1(run_darter, origin, image, certificate):
    darter = run_darter({"test.local": [origin.url]},
                        ["--tls-cert", certificate[0], "--tls-key", certificate[1]])
    context = ssl.create_default_context(cafile=certificate[0])
    context.set_alpn_protocols(["h2", "http/1.1"])
    with darter.connect(tls=context) as connection:
        assert connection.sock.selected_alpn_protocol() in ("http/1.1", None)
        for digest, data in image.blobs.items():
            connection.send_request("GET", f"/v2/{REPO}/blobs/{digest}")
            assert connection.read_response().body == data


def test_plain_bytes_on_the_tls_port_do_no_harm(run_darter, origin, image, certificate):
    darter = run_darter({"test.local": [origin.url]},
                        ["--tls-cert", certificate[0], "--tls-key", certificate[1]])
    for data in (b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\xff\xff", b"\0" * 1000):
        assert b"HTTP/1.1 200" not in wire.exchange(darter.address, data)
    context = ssl.create_default_context(cafile=certificate[0])
    assert wire.fetch(darter.address, "GET", "/v2/", tls=context).status == 200


def test_a_registry_with_a_private_ca_is_reached(run_darter, secure_origin, certificate):
    darter = run_darter({}, config=config_of(secure_origin, **{"ca-file": certificate[0]}))
    darter.pull(REPO, "latest", secure_origin.image)


def test_a_registry_with_an_unknown_certificate_is_not_trusted(run_darter, secure_origin):
    darter = run_darter({"test.local": [secure_origin.url]})
    response = darter.manifest(REPO, "latest", [("Authorization", "Bearer precious")])
    assert response.status in (502, 503), response
    assert secure_origin.requests == []


def test_trust_can_be_switched_off_for_one_endpoint(run_darter, secure_origin):
    darter = run_darter({}, config=config_of(secure_origin, insecure="true"))
    darter.pull(REPO, "latest", secure_origin.image)


def reload(darter, word):
    seen = len(darter.log)
    os.kill(darter.pid, signal.SIGHUP)
    wait_until(lambda: word in darter.log[seen:], word)


def shown_certificate(darter):
    """What a new connection is shown, as PEM."""
    return ssl.get_server_certificate(darter.address)


def test_a_renewed_certificate_is_used_after_a_reload(run_darter, origin, image, certificate,
                                                      tmp_path):
    cert, key = str(tmp_path / "c.pem"), str(tmp_path / "k.pem")
    shutil.copy(certificate[0], cert)
    shutil.copy(certificate[1], key)
    darter = run_darter({"test.local": [origin.url]}, ["--tls-cert", cert, "--tls-key", key])
    before = shown_certificate(darter)
    with darter.connect(tls=ssl.create_default_context(cafile=certificate[0])) as old:
        layer = image.layers[0]
        old.send_request("GET", f"/v2/{REPO}/blobs/{layer}")
        assert old.read_response().body == image.blobs[layer]

        shutil.copy(make_certificate(tmp_path)[0], cert)  # half of a renewal: no pair
        reload(darter, "certificate_kept")
        assert shown_certificate(darter) == before

        shutil.copy(str(tmp_path / "key.pem"), key)
        reload(darter, "certificate_read")
        wait_until(lambda: shown_certificate(darter) != before, "the new certificate")
        renewed = ssl.create_default_context(cafile=cert)
        assert wire.fetch(darter.address, "GET", "/v2/", tls=renewed).status == 200

        old.send_request("GET", f"/v2/{REPO}/blobs/{layer}")  # a connection of before goes on
        assert old.read_response().body == image.blobs[layer]
