"""tests/lib/registry.py - Debian's docker-registry: a plain one, or a pull-through proxy.

    with Registry() as registry: registry.push("library/web", image, "latest")
"""
import json
import os
import shutil
import subprocess
import tempfile
import urllib.parse

from lib import wire
from lib.proxy import wait_until

CONFIG = """version: 0.1
log: {{level: warn, accesslog: {{disabled: false}}}}
storage:
  filesystem: {{rootdirectory: {folder}/data}}
  delete: {{enabled: true}}
http:
  addr: {host}:{port}
"""


class Registry:
    def __init__(self, proxy_of=None, host="127.0.0.1", port=None):
        """proxy_of: URL of the registry to mirror."""
        self.host = host
        self.port = port or wire.free_port()
        self.address = (host, self.port)
        self.url = f"http://{host}:{self.port}"
        self.folder = tempfile.mkdtemp(prefix="registry-")
        self.log_path = os.path.join(self.folder, "log")
        config = CONFIG.format(folder=self.folder, host=host, port=self.port)
        if proxy_of:
            config += f"proxy: {{remoteurl: {proxy_of}}}\n"
        path = os.path.join(self.folder, "config.yml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(config)
        with open(self.log_path, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", path],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_until(self.answers, "docker-registry to answer", 20)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def answers(self):
        assert self.process.poll() is None, self.log()
        try:
            return wire.fetch(self.address, "GET", "/v2/").status == 200
        except OSError:
            return False

    def log(self):
        with open(self.log_path, encoding="utf-8") as file:
            return file.read()

    def push_blob(self, repo, digest, data):
        start = wire.fetch(self.address, "POST", f"/v2/{repo}/blobs/uploads/",
                           host=f"{self.host}:{self.port}")
        assert start.status == 202, start
        parts = urllib.parse.urlsplit(start.header("Location"))
        target = f"{parts.path}?{parts.query}&digest={digest}"
        done = wire.fetch(self.address, "PUT", target, [
            ("Content-Type", "application/octet-stream"), ("Content-Length", len(data))], data)
        assert done.status == 201, done

    def push(self, repo, image, *tags):
        for child in image.children:
            self.push(repo, child)
        for digest, data in image.blobs.items():
            self.push_blob(repo, digest, data)
        for tag in tags or (image.digest,):
            done = wire.fetch(self.address, "PUT", f"/v2/{repo}/manifests/{tag}",
                              [("Content-Type", image.media_type)], image.manifest)
            assert done.status == 201, done
        assert json.loads(image.manifest)["schemaVersion"] == 2
        return image
