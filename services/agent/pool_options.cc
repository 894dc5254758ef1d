#include "services/agent/pool_options.h"

#include <optional>
#include <utility>

#include "services/agent/self.h"
#include "services/base/file.h"
#include "services/base/strings.h"
#include "services/gossip/keyring_file.h"

namespace consul::agent {
namespace {

absl::StatusOr<gossip::Endpoint> EndpointOf(const char* what, const std::string& address,
                                            uint16_t port) {
  if (const auto endpoint = gossip::Endpoint::ParseIp(address, port)) return *endpoint;
  return absl::InvalidArgumentError(
      base::StrCat(what, " ", address, ":", port, " is no IP address and port"));
}

void SetProfile(const config::GossipProfile& profile, gossip::SwimOptions* swim) {
  swim->gossip_nodes = profile.gossip_nodes;
  swim->gossip_interval = profile.gossip_interval;
  swim->probe_interval = profile.probe_interval;
  swim->probe_timeout = profile.probe_timeout;
  swim->retransmit_mult = profile.retransmit_mult;
  swim->suspicion_mult = profile.suspicion_mult;
}

// A keyring in the data-dir goes before the configured key; without encryption none is looked for.
absl::Status SetKeyring(const config::Config& config, std::string_view file_name,
                        gossip::PoolOptions* options, std::vector<std::string>* warnings) {
  const config::GossipEncryption& encryption = config.encryption;
  options->verify_incoming = encryption.verify_incoming;
  options->verify_outgoing = encryption.verify_outgoing;
  std::optional<gossip::Key> configured;
  if (!encryption.key.empty()) {
    absl::StatusOr<gossip::Key> key = gossip::Key::FromBase64(encryption.key);
    if (!key.ok()) return key.status();
    configured = *std::move(key);
  }
  if (encryption.disable_keyring_file) {
    if (configured.has_value()) options->self.keyring = gossip::Keyring(*configured);
    return absl::OkStatus();
  }
  options->keyring_directory =
      base::JoinPath(config.data_dir, std::string(gossip::kSerfDirectory));
  gossip::KeyringFile file(base::FileSystem::Posix(), options->keyring_directory, file_name);
  absl::StatusOr<gossip::KeyringStart> start = file.Start(configured);
  if (!start.ok()) return start.status();
  if (!start->warning.empty()) warnings->push_back(start->warning);
  options->self.keyring = std::move(start->keyring);
  return absl::OkStatus();
}

// What both pools share.
absl::Status Fill(const config::Config& config, const v1::Member& member,
                  const AgentIdentity& identity, const config::GossipPool& settings,
                  const config::Endpoint& listen, gossip::PoolOptions* options) {
  auto advertise = EndpointOf("advertise address", member.addr(),
                              static_cast<uint16_t>(member.port()));
  if (!advertise.ok()) return advertise.status();
  auto bound = EndpointOf("bind address", listen.address, listen.port);
  if (!bound.ok()) return bound.status();
  options->self.address = *advertise;
  options->listen = *bound;
  options->self.name = member.name();
  options->self.id = identity.node_id;
  for (const auto& tag : member.tags()) {
    options->self.tags.emplace_back(tag.key(), tag.value());
  }
  SetProfile(settings.profile, &options->cluster.swim);
  options->cluster.reconnect_timeout = settings.reconnect_timeout;
  options->cluster.coordinates = !config.disable_coordinates;
  options->snapshot_directory =
      base::JoinPath(config.data_dir, std::string(gossip::kSerfDirectory));
  options->rejoin_after_leave = config.rejoin_after_leave;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<gossip::PoolOptions> LanPoolOptions(const config::Config& config,
                                                   const AgentIdentity& identity,
                                                   std::vector<std::string>* warnings) {
  gossip::PoolOptions options;
  options.identity.datacenter = config.datacenter;
  absl::Status status =
      Fill(config, LanMember(config, identity.node_id, identity.generation), identity, config.lan,
           *config.serf_lan_listen, &options);
  if (status.ok()) status = SetKeyring(config, gossip::kLanKeyringName, &options, warnings);
  if (!status.ok()) return status;
  return options;
}

absl::StatusOr<gossip::PoolOptions> WanPoolOptions(const config::Config& config,
                                                   const AgentIdentity& identity,
                                                   std::vector<std::string>* warnings) {
  gossip::PoolOptions options;
  options.cluster = gossip::ClusterOptions::Wan();
  options.identity.wan = true;
  absl::Status status = Fill(config, WanMember(config, identity.node_id), identity, config.wan,
                             *config.serf_wan_listen, &options);
  if (status.ok()) status = SetKeyring(config, gossip::kWanKeyringName, &options, warnings);
  if (!status.ok()) return status;
  return options;
}

}  // namespace consul::agent
