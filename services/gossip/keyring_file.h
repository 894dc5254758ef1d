// services/gossip/keyring_file.h
//
// A pool's keyring on disk, so that keys that were changed by the operator outlive a restart:
// DATA_DIR/serf/local.keyring and remote.keyring, in the reference's format. Keys in a file are the
// truth; the configuration's key begins a keyring where there is none yet.
//
// Threads: any, one at a time. Load and Store wait for the disk.
// Background: services/gossip/format.md, "Keyring files".
#ifndef CONSUL_SERVICES_GOSSIP_KEYRING_FILE_H_
#define CONSUL_SERVICES_GOSSIP_KEYRING_FILE_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/base/file.h"
#include "services/gossip/keyring.h"

namespace consul::gossip {

// In the data directory; and in it the keyrings of the LAN and the WAN pool.
inline constexpr std::string_view kSerfDirectory = "serf";
inline constexpr std::string_view kLanKeyringName = "local.keyring";
inline constexpr std::string_view kWanKeyringName = "remote.keyring";

// What a pool starts with.
struct KeyringStart {
  std::optional<Keyring> keyring;  // nullopt: without encryption
  std::string warning;             // for the log; empty: none
};

class KeyringFile {
 public:
  // Sixteen keys have about 800 bytes; people may have spaced them out.
  static constexpr size_t kFileBytesMax = 64 << 10;

  // The file `name` in `directory`, which is made when it is first needed. `files` outlives this.
  KeyringFile(base::FileSystem* files, std::string directory, std::string_view name);

  // nullopt where there is no file. Errors name it: FAILED_PRECONDITION where others than its owner
  // may read or write it, INVALID_ARGUMENT for contents that are no keyring, or the disk's.
  absl::StatusOr<std::optional<Keyring>> Load();

  // Makes the file hold `keyring`, mode 0600, durably. After an error it holds, whole, this keyring
  // or the one before.
  absl::Status Store(const Keyring& keyring);

  // The keyring of the file; where there is none, one of the configuration's key, which is stored.
  // A configured key that the file does not hold is passed over, with a warning: it would undo a
  // change of keys at the next restart.
  absl::StatusOr<KeyringStart> Start(const std::optional<Key>& configured);

  const std::string& path() const { return path_; }

 private:
  base::FileSystem* const files_;
  const std::string directory_;
  const std::string path_;
};

// A JSON array of base64 strings, the primary key first. INVALID_ARGUMENT says what is wrong,
// without a byte of a key.
absl::StatusOr<Keyring> ParseKeyring(std::string_view text);
std::string FormatKeyring(const Keyring& keyring);

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_KEYRING_FILE_H_
