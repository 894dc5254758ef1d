"""Which files read bytes or text from outside, and the fuzz target that feeds each of them.

A parser is listed the day it is written. That none is forgotten is told by what such files do: they
turn text into numbers, addresses or messages, or offer functions that parse or decode. A file that
does so is listed, or excused with the reason why nothing from outside gets there.
"""

import posixpath
import re

from tests.tidy import cpp

PARSERS = {
    "cli/agent_flags.cc": "cli_fuzz",
    "cli/flags.cc": "cli_fuzz",
    "cli/members_command.cc": "members_status_fuzz",
    "cli/agent_address.cc": "address_fuzz",
    "gateway/dns/message.cc": "dns_message_fuzz",
    "gateway/dns/name.cc": "dns_name_fuzz",
    "gateway/dns/responder.cc": "dns_answer_fuzz",
    "gateway/dns/socket.cc": "address_fuzz",
    "gateway/http/dispatch.cc": "http_request_fuzz",
    "gateway/http/parser.cc": "http_request_fuzz",
    "gateway/transcode/json_decode.cc": "json_decode_fuzz",
    "gateway/transcode/request_plan.cc": "http_request_fuzz",
    "gateway/transcode/router.cc": "http_request_fuzz",
    "gateway/transcode/url.cc": "url_fuzz",
    "services/archive/archive.h": "archive_fuzz",
    "services/archive/archive_meta.cc": "archive_fuzz",
    "services/archive/archive_reader.cc": "archive_fuzz",
    "services/agent/user_event.cc": "user_event_fuzz",
    "services/agent/config/addresses.cc": "address_fuzz",
    "services/agent/config/build.cc": "hcl_fuzz",
    "services/agent/config/config.cc": "hcl_fuzz",
    "services/agent/config/hcl_lexer.cc": "hcl_fuzz",
    "services/agent/config/load.cc": "hcl_fuzz",
    "services/agent/config/node_id.cc": "node_id_fuzz",
    "services/agent/config/parse.h": "hcl_fuzz",
    "services/agent/config/parse_hcl.cc": "hcl_fuzz",
    "services/agent/config/parse_json.cc": "hcl_fuzz",
    "services/agent/config/parse_limits.cc": "hcl_fuzz",
    "services/agent/config/schema.cc": "hcl_fuzz",
    "services/agent/config/settings.cc": "hcl_fuzz",
    "services/base/base64.cc": "base64_fuzz",
    "services/base/bool_text.cc": "cli_fuzz",
    "services/base/duration.cc": "duration_fuzz",
    "services/base/utf8.cc": "utf8_fuzz",
    "services/base/uuid.cc": "node_id_fuzz",
    "services/agent/config/gossip_settings.cc": "hcl_fuzz",
    "services/gossip/cluster_message.cc": "gossip_cluster_fuzz",
    "services/gossip/codec.cc": "gossip_wire_fuzz",
    "services/gossip/keyring_file.cc": "gossip_disk_fuzz",
    "services/gossip/member_snapshot_format.cc": "gossip_disk_fuzz",
    "services/gossip/refusal.cc": "gossip_wire_fuzz",
    "services/gossip/resolver.cc": "gossip_swim_fuzz",
    "services/gossip/stream_codec.cc": "gossip_wire_fuzz",
    "services/gossip/tags.cc": "gossip_cluster_fuzz",
    "services/gossip/types.cc": "gossip_swim_fuzz",
    "services/gossip/wire.cc": "gossip_swim_fuzz",
    "services/raft/core/configuration.cc": "raft_configuration_fuzz",
    "services/raft/log_format.cc": "raft_log_fuzz",
    "services/raft/log_recovery.cc": "raft_log_fuzz",
    "services/raft/peer_recovery.cc": "peers_json_fuzz",
    "services/raft/snapshot_files.cc": "raft_snapshot_fuzz",
    "services/raft/snapshot_format.cc": "raft_snapshot_fuzz",
    "services/raft/snapshot_reader.cc": "raft_snapshot_fuzz",
    "services/raft/staged_snapshot.cc": "raft_snapshot_fuzz",
    "services/rpc/errors.cc": "grpc_status_fuzz",
    "services/rpc/grpc_bytes.cc": "grpc_request_fuzz",
    "services/rpc/grpc_status.cc": "grpc_status_fuzz",
    "services/server/server_members.cc": "autopilot_fuzz",
    "services/server/reconcile.cc": "reconcile_fuzz",
    "services/state/fsm.cc": "fsm_command_fuzz",
    "services/state/snapshot.cc": "snapshot_fuzz",
    "services/transport/message_codec.cc": "raft_message_fuzz",
}
EXCUSED = {
    "cli/faces.cc": "the address is one that the command line or the configuration took",
    "gateway/http/splice.cc": "the address is one that the command line or the configuration took",
    "services/server/pledge_file.cc": "protobuf's own parser of text, on what this server wrote",
    "services/server/cluster_name.cc": "commands that fsm.cc takes apart as well",
    "services/gossip/sim_text.cc": "commands of tests in words",
    "cli/client.cc": "replies go to protobuf's own parser, and nothing is made of them here",
    "gateway/dns/query_text.cc": "queries of tests in words",
    "gateway/http/listener.cc": "the address is one that the configuration took",
    "services/agent/config/machine.cc": "the addresses are constants",
    "services/agent/self.cc": "the kernel's own file about this process",
    "services/rpc/grpc_pollers.cc": "the kernel's own file about this process",
    "services/rpc/listen_check.cc": "the address is one that the configuration took",
    "services/rpc/signs_of_life.cc": "the address is one that the agent itself put together",
}

NAME = re.compile(r"(?:^|_)(parser|parse_\w+|codec|lexer|decoder|log_format)\.cc$")
# What a file does that turns text or bytes into something else.
DOES = re.compile(
    r"\b(?:from_chars|strto\w+|sto(?:i|l|ll|u|ul|ull|f|d|ld)|ato(?:i|l|ll|f)|SimpleAto\w+|sscanf|"
    r"Parse(?:Partial)?From\w+|inet_pton|inet_aton|make_address\w*|getline)\(|"
    r"\bstd::regex\b|\bjson::(?:parse|stream_parser|parser)\b"
)
# What a header offers to that end. Its code is in the .cc file of its name.
OFFERS = re.compile(
    r"\b(?:Parse|Decode|Unescape|Is(?:Utf8|Uuid)|FromText|Read[A-Z])\w*\("
    r"[^)]*\b(?:string_view|std::string&|span<const|ByteBuffer|std::vector<std::string>)"
)
NOT_SHIPPED = re.compile(r"(?:^|_)(?:test|tests|fixture|fake|bench|benchmark)(?:_|\.)")


def parsers_among(files):
    """Paths of the files that are parsers by what they are called, do or offer."""
    paths = {file.path for file in files}
    found = set()
    for file in files:
        if not file.is_cpp() or file.is_test() or NOT_SHIPPED.search(file.name):
            continue
        code = "\n".join(line for _, line in cpp.code_lines(file))
        if NAME.search(file.name) or DOES.search(code):
            found.add(file.path)
        elif file.is_header() and OFFERS.search(code):
            source = file.path[: -len("h")] + "cc"
            found.add(source if source in paths else file.path)
    return found


def reached(files, path):
    """What the file at `path` can run: by the headers that it includes, and what is behind them."""
    by_path = {file.path: file for file in files}
    # The sources of a folder that include one of its headers may be what is behind it.
    sources = {}
    for file in files:
        if file.name.endswith(".cc"):
            for _, _, header in cpp.includes(file):
                if posixpath.dirname(header) == file.folder:
                    sources.setdefault(header, []).append(file.path)
    seen, left = set(), [path]
    while left:
        here = left.pop()
        if here in seen or here not in by_path:
            continue
        seen.add(here)
        left += [header for _, _, header in cpp.includes(by_path[here])]
        left += sources.get(here, [])
    return seen


def unfuzzed(files, parsers=None, excused=None):
    """Parsers without a fuzz target. `parsers`, `excused`: instead of the lists here, for tests."""
    parsers = PARSERS if parsers is None else parsers
    excused = EXCUSED if excused is None else excused
    builds = "\n".join(file.text for file in files if file.path.startswith("tests/fuzz/BUILD"))
    if not builds:
        return []  # The folder of the targets comes with the first of them.
    paths = {file.path for file in files}
    found = [f"{path}:1: listed in tests/tidy/parsers.py, but not there"
             for path in (*parsers, *excused) if path not in paths]
    among = parsers_among(files)
    for path in sorted(among - set(parsers) - set(excused)):
        found.append(f"{path}:1: a parser that tests/tidy/parsers.py does not list")
    for path in sorted(set(excused) - among):
        found.append(f"{path}:1: excused in tests/tidy/parsers.py, but no parser")
    reach = {target: reached(files, f"tests/fuzz/{target}.cc") for target in set(parsers.values())}
    for path, target in parsers.items():
        if f'name = "{target}"' not in builds:
            found.append(f"{path}:1: its fuzz target {target} is not in tests/fuzz")
        elif path not in reach[target]:
            found.append(f"{path}:1: its fuzz target {target} does not get there")
    return found
