"""Who may include whom. docs/ARCHITECTURE.md draws it; Bazel's visibility holds it as well."""

from tests.tidy import cpp

BASE = {"proto", "services/base"}
RAFT = {"services/raft", "services/raft/core"}
# The longest prefix of a file's path counts. A folder may always include itself.
MAY_INCLUDE = {
    "services/base": set(),
    "services/raft/core": {"services/base"},
    "services/raft": BASE,
    "services/gossip": BASE,
    "services/state": BASE,
    # Of state only the interface of versioned sources; visibility says which targets.
    "services/rpc": BASE | {"services/state"},
    "services/transport": BASE | RAFT | {"services/rpc"},
    "services/archive": BASE | {"services/state"},
    "services/server": BASE | RAFT | {"services/gossip", "services/state", "services/rpc",
                                      "services/transport"},
    "services/api": BASE | {"services/gossip", "services/state", "services/rpc",
                            "services/server", "services/archive"},
    "services/agent/config": {"services/base"},
    "services/agent": BASE | RAFT | {"services/gossip", "services/state", "services/rpc",
                                     "services/server", "services/api", "services/transport",
                                     "services/archive"},
    "gateway": BASE | {"services/rpc"},
    "cli": BASE | {"services/agent", "services/agent/config", "services/archive", "services/rpc",
                   "gateway"},
}


def layer_of(path):
    """The key of MAY_INCLUDE that a path belongs to; "proto" for generated headers; or None."""
    if path.startswith(("consul/", "grpc/")):
        return "proto"
    parts = path.split("/")[:-1]
    for count in range(len(parts), 0, -1):
        prefix = "/".join(parts[:count])
        if prefix in MAY_INCLUDE:
            return prefix
    return None


def layers(file):
    """Includes point down."""
    if not file.is_cpp() or file.path.startswith("tests/"):
        return
    here = layer_of(file.path)
    if here is None:
        yield 1, "in no layer that tests/tidy/layers.py knows"
        return
    for number, mark, path in cpp.includes(file):
        if mark != '"' or not cpp.is_own(path):
            continue
        there = layer_of(path)
        if there is None:
            yield number, f"{path}: in no layer"
        # A folder within a layer is part of it, in both directions.
        elif there != here and there not in MAY_INCLUDE[here] and not _within(here, there):
            yield number, f"{here} may not include {there}"


def _within(one, other):
    return other.startswith(one + "/")


GRPC = ("grpcpp/", "grpc/", "grpc++/")
MAY_GRPC = (
    "services/rpc/", "services/api/", "services/agent/", "cli/client", "tests/",
    "services/transport/",
)


def grpc_stays_low(file):
    """gRPC is seen by those who speak it and by nobody else."""
    if not file.is_cpp() or file.path.startswith(MAY_GRPC):
        return
    for number, _, path in cpp.includes(file):
        if path.startswith(GRPC) or path.endswith(".grpc.pb.h"):
            yield number, f"{path}: only in rpc, api, agent, transport and cli/client"
