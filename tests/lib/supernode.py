"""tests/lib/supernode.py - a darter-supernode under test: started, asked and stopped as lib.proxy
does it with the node's daemon.

    with Supernode({"test.local": [origin.url]}, site="ams1", name="a") as supernode:
        supernode.ask_admin("/v1/nodes").json()

All supernodes of these tests have one cluster key, which tests may write into files of nodes, too.
"""
import os

from lib.proxy import Darter, binary_folder

CLUSTER_KEY = "a-secret-of-the-tests-0123456789abcdef"


def write_key_file(path, *secrets):
    """Keys as a daemon takes them: one a line, for its owner alone."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
              encoding="ascii") as file:
        file.write("".join(secret + "\n" for secret in secrets))
    return str(path)


class Supernode(Darter):
    def __init__(self, upstreams, options=(), site="test", name="test-a", **more):
        super().__init__(upstreams, options, **more)
        self.site = site
        self.name = name
        self.key_file = write_key_file(os.path.join(self.folder, "cluster-key"), CLUSTER_KEY)

    def arguments(self):
        argv = [os.path.join(binary_folder(), "darter-supernode"),
                "--listen", self.listen, "--admin-listen", "127.0.0.1:0",
                "--site", self.site, "--name", self.name, "--cluster-key-file", self.key_file,
                "--cache-dir", self.cache, "--cache-max", self.cache_max, "--log-level", "debug"]
        return argv + self.shared_arguments() + self.options
