"""examples/python against a real agent: what its README promises."""

import os
import pathlib
import subprocess
import tempfile
import time
import unittest

RPC = "127.0.0.1:8400"


class PythonClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        modules = os.path.join(cls.folder.name, "modules")
        os.mkdir(modules)
        protos = [str(path.relative_to("proto")) for path in pathlib.Path("proto").rglob("*.proto")
                  if "internal" not in path.parts]
        subprocess.run(["protoc", "-Iproto", f"--python_out={modules}",
                        f"--grpc_python_out={modules}",
                        "--plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin", *protos],
                       check=True)
        cls.environment = {**os.environ, "PYTHONPATH": modules}
        cls.agent = subprocess.Popen(
            ["cli/consul", "agent", "-server", "-bootstrap", "-node", "n1", "-bind", "127.0.0.1",
             "-data-dir", os.path.join(cls.folder.name, "data")], stdout=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while cls.client("put", "ready", "yes").returncode != 0:
            if time.monotonic() > end:
                raise AssertionError("no agent answers")

    @classmethod
    def tearDownClass(cls):
        cls.agent.terminate()
        cls.agent.wait()
        cls.folder.cleanup()

    @classmethod
    def client(cls, *arguments):
        return subprocess.run(
            ["/usr/bin/python3", "examples/python/consul_client.py", "--rpc-addr", RPC, *arguments],
            env=cls.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            check=False)

    def index_of(self, key):
        return self.client("get", key).stdout.split("index ")[1].rstrip(")\n")

    def test_members(self):
        self.assertEqual(self.client("members").stdout, "n1 127.0.0.1:8301 alive\n")

    def test_the_http_port_is_one_of_rpc_too(self):
        self.assertEqual(
            self.client("--rpc-addr", "127.0.0.1:8500", "members").stdout,
            "n1 127.0.0.1:8301 alive\n")

    def test_put_get_delete(self):
        self.assertEqual(self.client("put", "a", "1").stdout, "true\n")
        self.assertRegex(self.client("get", "a").stdout, r"^1 \(index \d+\)\n$")
        self.assertEqual(self.client("delete", "a").stdout, "true\n")
        self.assertEqual(self.client("get", "a").stdout, "no such key\n")

    def test_cas_takes_the_index_of_the_last_change_only(self):
        self.client("put", "b", "1")
        index = self.index_of("b")
        self.assertEqual(self.client("cas", "b", "2", index).stdout, "true\n")
        self.assertEqual(self.client("cas", "b", "3", index).stdout, "false\n")
        self.assertRegex(self.client("get", "b").stdout, r"^2 ")

    def test_a_watch_ends_with_the_change(self):
        self.client("put", "c", "1")
        with subprocess.Popen(
                ["/usr/bin/python3", "examples/python/consul_client.py", "watch", "c", "60"],
                env=self.environment, stdout=subprocess.PIPE, text=True) as watch:
            # However late the watch begins, one of the changes comes after it.
            value = 1
            while watch.poll() is None:
                value += 1
                self.client("put", "c", str(value))
            self.assertRegex(watch.stdout.read(), r"^\d+ \(index \d+\)\n$")

    def test_an_error_has_its_reason(self):
        failed = self.client("get", "")
        self.assertEqual(failed.returncode, 1)
        self.assertIn("[REASON_", failed.stderr)
