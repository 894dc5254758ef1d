#include "services/agent/config/gossip_settings.h"

#include <limits>
#include <string_view>

#include "services/base/base64.h"
#include "services/base/duration.h"
#include "services/base/strings.h"

namespace consul::agent::config {
namespace {

using namespace std::chrono_literals;

// Shorter, and a member that is down over a night would be forgotten (the reference's least).
constexpr auto kReconnectTimeoutMin = 8h;
// A pool turns no faster than this, whatever is asked for: below it, timers cost more than they
// find out.
constexpr auto kIntervalMin = 1ms;
// More than anybody needs, and little enough that products of them cannot overflow.
constexpr int64_t kMultMax = 1000;
constexpr int64_t kGossipNodesMax = 64;

class GossipReader {
 public:
  GossipReader(Settings* settings, std::vector<std::string>* warnings)
      : settings_(settings), warnings_(warnings) {}

  void ReadPool(const std::string& block, const std::string& suffix, GossipPool* pool) {
    ReadProfile(block, &pool->profile);
    ReadList("start_join" + suffix, &pool->start_join);
    ReadList("retry_join" + suffix, &pool->retry_join);
    settings_->Read("retry_interval" + suffix, &pool->retry_interval);
    ReadCount("retry_max" + suffix, 0, std::numeric_limits<int>::max(), &pool->retry_max);
    const std::string timeout = "reconnect_timeout" + suffix;
    settings_->Read(timeout, &pool->reconnect_timeout);
    if (pool->reconnect_timeout < kReconnectTimeoutMin) {
      Fault(timeout, base::StrCat(timeout, " must be >= ",
                                  base::FormatDuration(kReconnectTimeoutMin)));
    }
  }

  void ReadEncryption(GossipEncryption* encryption) {
    settings_->Read("encrypt", &encryption->key);
    if (!encryption->key.empty()) {
      const absl::StatusOr<std::string> key = base::DecodeBase64(encryption->key);
      if (!key.ok()) {
        Fault("encrypt",
              base::StrCat("encrypt has invalid key: ", base::ToStd(key.status().message())));
      } else if (key->size() != 16 && key->size() != 24 && key->size() != 32) {
        Fault("encrypt", base::StrCat("encrypt has invalid key: it has ", key->size(),
                                      " bytes, and 16, 24 or 32 are needed"));
      }
    }
    settings_->Read("encrypt_verify_incoming", &encryption->verify_incoming);
    settings_->Read("encrypt_verify_outgoing", &encryption->verify_outgoing);
    settings_->Read("disable_keyring_file", &encryption->disable_keyring_file);
  }

  void Fault(std::string_view path, std::string text) {
    settings_->Fault(std::move(text) + settings_->Origin(path));
  }

 private:
  void ReadProfile(const std::string& block, GossipProfile* profile) {
    ReadCount(block + ".gossip_nodes", 1, kGossipNodesMax, &profile->gossip_nodes);
    ReadInterval(block + ".gossip_interval", &profile->gossip_interval);
    ReadInterval(block + ".probe_interval", &profile->probe_interval);
    ReadInterval(block + ".probe_timeout", &profile->probe_timeout);
    ReadCount(block + ".retransmit_mult", 1, kMultMax, &profile->retransmit_mult);
    ReadCount(block + ".suspicion_mult", 1, kMultMax, &profile->suspicion_mult);
    if (profile->probe_timeout > profile->probe_interval) {
      warnings_->push_back(base::StrCat(
          block, ".probe_timeout ", base::FormatDuration(profile->probe_timeout),
          " is more than ", block, ".probe_interval ",
          base::FormatDuration(profile->probe_interval), ", which is used for both"));
      profile->probe_timeout = profile->probe_interval;
    }
  }

  void ReadInterval(const std::string& path, std::chrono::nanoseconds* out) {
    settings_->Read(path, out);
    if (*out < kIntervalMin) {
      Fault(path, base::StrCat(path, " must be >= ", base::FormatDuration(kIntervalMin)));
    }
  }

  void ReadCount(const std::string& path, int64_t min, int64_t max, int* out) {
    int64_t number = *out;
    settings_->ReadInteger(path, min, max, &number);
    *out = static_cast<int>(number);
  }

  void ReadList(const std::string& path, std::vector<std::string>* out) {
    const Value* value = settings_->Find(path);
    if (value == nullptr) return;
    for (const Value& each : *value->as_list()) {
      const std::string& text = *each.as_string();
      // Names of clouds are looked up by nobody here; taken for a host name, such an entry would
      // be tried for ever.
      if (text.find("provider=") != std::string::npos) {
        Fault(path, base::StrCat(path, " cannot be ", each.Describe(),
                                 ": discovery of cloud machines is not supported"));
        continue;
      }
      if (!text.empty()) out->push_back(text);
    }
  }

  Settings* const settings_;
  std::vector<std::string>* const warnings_;
};

}  // namespace

void ReadGossip(Settings* settings, Config* config, std::vector<std::string>* warnings) {
  GossipReader reader(settings, warnings);
  reader.ReadPool("gossip_lan", "", &config->lan);
  config->wan.profile.gossip_interval = 500ms;
  config->wan.profile.probe_interval = 5s;
  config->wan.profile.probe_timeout = 3s;
  config->wan.profile.suspicion_mult = 6;
  reader.ReadPool("gossip_wan", "_wan", &config->wan);
  reader.ReadEncryption(&config->encryption);
  settings->Read("rejoin_after_leave", &config->rejoin_after_leave);
  settings->Read("disable_coordinates", &config->disable_coordinates);
  if (!config->server && (!config->wan.start_join.empty() || !config->wan.retry_join.empty())) {
    const std::string_view path =
        config->wan.start_join.empty() ? "retry_join_wan" : "start_join_wan";
    reader.Fault(path, base::StrCat(path, " requires 'server = true'"));
  }
}

}  // namespace consul::agent::config
