"""How clang is called, and the system headers that it reads in compiled form."""

load("@bazel_tools//tools/build_defs/cc:action_names.bzl", "ACTION_NAMES")
load(
    "@bazel_tools//tools/cpp:cc_toolchain_config_lib.bzl",
    "env_entry",
    "env_set",
    "feature",
    "flag_group",
    "flag_set",
    "tool_path",
    "with_feature_set",
)

_COMPILER = "/usr/bin/clang++-14"

_FLAGS = [
    "-std=c++20",
    "-fPIC",
    "-fstack-protector",
    "-fno-omit-frame-pointer",
    "-Wall",
    "-Wextra",
    "-Wthread-safety",
    "-no-canonical-prefixes",
    "-Wno-builtin-macro-redefined",
    "-D__DATE__=\"redacted\"",
    "-D__TIMESTAMP__=\"redacted\"",
    "-D__TIME__=\"redacted\"",
]

# The compiler's memory in large pages, where the kernel has them for who asks: a sixth of its time
# goes to page faults and missed translations otherwise.
_MALLOC = ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")

_NDEBUG_FLAGS = [
    "-DNDEBUG",
    "-U_FORTIFY_SOURCE",
    "-ffunction-sections",
    "-fdata-sections",
]

_OPT_FLAGS = _NDEBUG_FLAGS + [
    "-O2",
    "-D_FORTIFY_SOURCE=1",
]

# Of tests: tools/bazel/cc.bzl.
_UNOPTIMIZED_FLAGS = _NDEBUG_FLAGS + ["-O0"]

_LINK_FLAGS = [
    "-fuse-ld=lld",
    "-Wl,-z,relro,-z,now",
]

_COMPILE = [
    ACTION_NAMES.cpp_compile,
    ACTION_NAMES.cpp_header_parsing,
]

_LINK = [
    ACTION_NAMES.cpp_link_executable,
    ACTION_NAMES.cpp_link_dynamic_library,
    ACTION_NAMES.cpp_link_nodeps_dynamic_library,
]

# With all of the first features, and none of the others.
def _flags(actions, flags, features = [], not_features = []):
    return flag_set(
        actions = actions,
        flag_groups = [flag_group(flags = flags)],
        with_features = [
            with_feature_set(features = features, not_features = not_features),
        ] if features else [],
    )

def _cc_config_impl(ctx):
    features = [
        feature(name = "opt"),
        feature(name = "unoptimized"),
        feature(name = "dbg"),
        feature(name = "supports_pic", enabled = True),
        feature(name = "supports_start_end_lib", enabled = True),
        feature(
            name = "default_compile_flags",
            enabled = True,
            flag_sets = [
                _flags(_COMPILE, _FLAGS),
                _flags(_COMPILE, _OPT_FLAGS, ["opt"], ["unoptimized"]),
                _flags(_COMPILE, _UNOPTIMIZED_FLAGS, ["opt", "unoptimized"]),
                _flags(_COMPILE, ["-g"], ["dbg"]),
            ],
        ),
        feature(
            name = "large_pages",
            enabled = True,
            env_sets = [env_set(
                actions = _COMPILE + _LINK,
                env_entries = [env_entry(key = _MALLOC[0], value = _MALLOC[1])],
            )],
        ),
        feature(
            name = "precompiled_headers",
            enabled = True,
            flag_sets = [
                _flags(
                    [ACTION_NAMES.cpp_compile],
                    ["-include-pch", ctx.file.headers.path],
                    ["opt"],
                    ["unoptimized"],
                ),
                _flags(
                    [ACTION_NAMES.cpp_compile],
                    ["-include-pch", ctx.file.unoptimized_headers.path],
                    ["opt", "unoptimized"],
                ),
            ],
        ),
        feature(
            name = "default_link_flags",
            enabled = True,
            flag_sets = [
                _flags(_LINK, _LINK_FLAGS),
                _flags(_LINK, ["-Wl,--gc-sections"], ["opt"]),
            ],
        ),
        # What crashes is named all the same, and the file is a third.
        feature(
            name = "strip_unoptimized",
            enabled = True,
            flag_sets = [_flags(_LINK, ["-Wl,--strip-debug"], ["unoptimized"])],
        ),
    ]
    return cc_common.create_cc_toolchain_config_info(
        ctx = ctx,
        features = features,
        # Changes of what lies here reach Bazel through SYSTEM_LIBS: tools/setup.
        cxx_builtin_include_directories = ["/usr/include", "/usr/lib"],
        toolchain_identifier = ctx.label.name,
        host_system_name = "local",
        target_system_name = "local",
        target_cpu = ctx.attr.cpu,
        target_libc = "local",
        compiler = "clang",
        abi_version = "local",
        abi_libc_version = "local",
        tool_paths = [
            tool_path(name = name, path = path)
            for name, path in {
                "ar": "/usr/bin/ar",
                "cpp": "/usr/bin/cpp",
                "dwp": "/usr/bin/dwp",
                "gcc": _COMPILER,
                "gcov": "/usr/bin/gcov",
                "ld": "/usr/bin/ld",
                "nm": "/usr/bin/nm",
                "objcopy": "/usr/bin/objcopy",
                "objdump": "/usr/bin/objdump",
                "strip": "/usr/bin/strip",
            }.items()
        ],
    )

cc_config = rule(
    implementation = _cc_config_impl,
    attrs = {
        "cpu": attr.string(mandatory = True),
        # As cc_toolchain takes its compiler_files: the paths have to be the same.
        "headers": attr.label(mandatory = True, allow_single_file = True, cfg = "exec"),
        "unoptimized_headers": attr.label(
            mandatory = True,
            allow_single_file = True,
            cfg = "exec",
        ),
    },
    provides = [CcToolchainConfigInfo],
)

def _precompiled_headers_impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".pch")

    # By standard input: a file's name would be that of one sandbox, and is looked up at each use.
    ctx.actions.run_shell(
        inputs = [ctx.file.src],
        outputs = [out],
        # The compiler writes down where it is, which would be one sandbox of many.
        command = "%s=%s PWD=/proc/self/cwd \"$@\" <%s" % (_MALLOC + (ctx.file.src.path,)),
        arguments = [_COMPILER] + _FLAGS +
                    (_OPT_FLAGS if ctx.attr.optimized else _UNOPTIMIZED_FLAGS) + [
            "-Xclang",
            "-fpch-instantiate-templates",
            # Else the same package, installed anew, would not fit to what a cache has kept.
            "-Xclang",
            "-fno-pch-timestamp",
            "-x",
            "c++-header",
            "-",
            "-o",
            out.path,
        ],
        mnemonic = "PrecompileHeaders",
        progress_message = "Compiling the system's headers",
        use_default_shell_env = True,
    )
    return [DefaultInfo(files = depset([out]))]

precompiled_headers = rule(
    implementation = _precompiled_headers_impl,
    attrs = {
        "optimized": attr.bool(mandatory = True),
        "src": attr.label(mandatory = True, allow_single_file = True),
    },
)
