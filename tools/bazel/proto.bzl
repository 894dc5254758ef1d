"""C++ libraries from .proto files, by the system's protoc."""

def proto_cc(name, srcs, deps = [], **kwargs):
    """A cc_library of the messages in `srcs`.

    Services come from descriptors at run time, so no stub is generated and no header here drags
    gRPC along.

    Args:
      name: of the library; `name + "_protos"` is the filegroup of the sources.
      srcs: .proto files under proto/.
      deps: other proto_cc libraries of this package, whose files `srcs` import.
      **kwargs: for the cc_library.
    """
    native.filegroup(
        name = name + "_protos",
        srcs = srcs + [dep + "_protos" for dep in deps],
    )
    headers = [src.replace(".proto", ".pb.h") for src in srcs]
    sources = [src.replace(".proto", ".pb.cc") for src in srcs]
    native.genrule(
        name = name + "_gen",
        srcs = srcs + [dep + "_protos" for dep in deps],
        outs = headers + sources,
        cmd = "protoc -Iproto --cpp_out=$(RULEDIR) " +
              " ".join(["$(location " + src + ")" for src in srcs]),
    )
    native.cc_library(
        name = name,
        srcs = sources,
        hdrs = headers,
        copts = ["-w"],
        includes = ["."],
        deps = deps + ["@system//:protobuf"],
        # Descriptors are found by name at run time: no file may be dropped by the linker.
        alwayslink = True,
        **kwargs
    )
