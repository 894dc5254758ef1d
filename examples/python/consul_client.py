#!/usr/bin/python3
"""Speaks to a consul agent over gRPC, with modules generated from its .proto files.

usage: consul_client.py [--rpc-addr HOST:PORT] members
       consul_client.py [--rpc-addr HOST:PORT] get KEY
       consul_client.py [--rpc-addr HOST:PORT] put KEY VALUE
       consul_client.py [--rpc-addr HOST:PORT] cas KEY VALUE MODIFY-INDEX
       consul_client.py [--rpc-addr HOST:PORT] delete KEY
       consul_client.py [--rpc-addr HOST:PORT] watch KEY SECONDS

README.md says how to generate the modules and where they have to be.
"""

import argparse
import os
import sys

import grpc

from consul.agent.v1 import agent_pb2, agent_pb2_grpc
from consul.errors.v1 import errors_pb2
from consul.kv.v1 import kv_pb2, kv_pb2_grpc

# A call may take so long, beyond the time that a blocking read waits.
TIMEOUT_S = 30


class Client:
    """One agent. The token, if any, travels as metadata."""

    def __init__(self, address, token=""):
        self._channel = grpc.insecure_channel(address)
        self._metadata = [("x-consul-token", token)] if token else []
        self._agent = agent_pb2_grpc.AgentServiceStub(self._channel)
        self._kv = kv_pb2_grpc.KvServiceStub(self._channel)

    def close(self):
        self._channel.close()

    def _call(self, method, request, wait_s=0):
        return method(request, metadata=self._metadata, timeout=TIMEOUT_S + wait_s)

    def members(self, wan=False):
        request = agent_pb2.ListMembersRequest(wan=wan)
        return self._call(self._agent.ListMembers, request).members

    def get(self, key):
        """The entry, or None: that a key does not exist is an answer, not an error."""
        return self.get_after(key, 0, 0)[0]

    def get_after(self, key, index, wait_s):
        """The entry or None, and its index: once that is above `index`, or `wait_s` is over."""
        request = kv_pb2.GetRequest(key=key.encode())
        request.options.index = index
        if wait_s:
            request.options.wait.seconds = wait_s
        response = self._call(self._kv.Get, request, wait_s * 17 / 16)
        return (response.entry if response.HasField("entry") else None), response.meta.index

    def put(self, key, value, cas=None):
        """False: `cas` is not the key's ModifyIndex (0: there is one); nothing has changed."""
        request = kv_pb2.PutRequest(key=key.encode(), value=value.encode())
        if cas is not None:
            request.cas = cas
        return self._call(self._kv.Put, request).applied

    def delete(self, key):
        return self._call(self._kv.Delete, kv_pb2.DeleteRequest(key=key.encode())).applied


def reason_of(error):
    """Why a call failed, for programs: an errors_pb2.ErrorDetail. Text is for people."""
    detail = errors_pb2.ErrorDetail()
    for name, value in error.trailing_metadata() or ():
        if name == "grpc-status-details-bin":
            for packed in errors_pb2.RpcStatus.FromString(value).details:
                packed.Unpack(detail)
    return detail


def show(entry):
    if entry is None:
        print("no such key")
        return 1
    print(f"{entry.value.decode(errors='replace')} (index {entry.modify_index})")
    return 0


def run(client, command, args):
    if command == "members":
        for member in client.members():
            status = agent_pb2.MemberStatus.Name(member.status)
            print(member.name, f"{member.addr}:{member.port}",
                  status[len("MEMBER_STATUS_"):].lower())
        return 0
    if command == "get":
        return show(client.get(*args))
    if command == "watch":
        _, index = client.get_after(args[0], 0, 0)
        entry, _ = client.get_after(args[0], index, int(args[1]))
        return show(entry)
    if command == "put":
        applied = client.put(*args)
    elif command == "cas":
        applied = client.put(args[0], args[1], cas=int(args[2]))
    else:
        applied = client.delete(*args)
    print("true" if applied else "false")
    return 0 if applied else 1


ARGUMENTS = {"members": 0, "get": 1, "put": 2, "cas": 3, "delete": 1, "watch": 2}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rpc-addr", default=os.environ.get("CONSUL_RPC_ADDR", "127.0.0.1:8400"))
    parser.add_argument("--token", default=os.environ.get("CONSUL_HTTP_TOKEN", ""))
    parser.add_argument("command", choices=ARGUMENTS)
    parser.add_argument("argument", nargs="*")
    options = parser.parse_args()
    if len(options.argument) != ARGUMENTS[options.command]:
        parser.error(f"{options.command} takes {ARGUMENTS[options.command]} arguments")
    client = Client(options.rpc_addr, options.token)
    try:
        return run(client, options.command, options.argument)
    except grpc.RpcError as error:
        reason = errors_pb2.Reason.Name(reason_of(error).reason)
        print(f"Error: {error.code().name}: {error.details()} [{reason}]", file=sys.stderr)
        return 1
    finally:
        client.close()


if __name__ == "__main__":
    sys.exit(main())
