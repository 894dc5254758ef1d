#include "services/gossip/keyring_file.h"

#include <openssl/crypto.h>

#include <memory>
#include <new>
#include <utility>
#include <vector>

#include <boost/json.hpp>

#include "absl/strings/str_format.h"
#include "services/base/check.h"
#include "services/base/strings.h"

namespace consul::gossip {
namespace {

namespace json = boost::json;

constexpr size_t kDepthMax = 2;

// Gives nothing back that still holds what was in it. The library does not always name the same
// alignment at both ends, so everything has the one that fits all.
class WipingMemory final : public json::memory_resource {
  void* do_allocate(size_t bytes, size_t alignment) override {
    CONSUL_CHECK(alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
    return ::operator new(bytes);
  }
  void do_deallocate(void* memory, size_t bytes, size_t) override {
    OPENSSL_cleanse(memory, bytes);
    ::operator delete(memory);
  }
  bool do_is_equal(const json::memory_resource& other) const noexcept override {
    return this == &other;
  }
};

// Text that is wiped at the end of its scope.
struct SecretText {
  ~SecretText() { Wipe(&text); }
  std::string text;
};

absl::Status Invalid(std::string_view what) {
  return absl::InvalidArgumentError(base::ToAbsl(what));
}

absl::Status WithPath(std::string_view path, const absl::Status& status) {
  return absl::Status(status.code(),
                      base::StrCat(path, ": ", base::ToStd(status.message())));
}

absl::Status CheckPermissions(base::File* file) {
  const absl::StatusOr<uint32_t> permissions = file->Permissions();
  if (!permissions.ok()) return permissions.status();
  if ((*permissions & 0077) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrFormat(
      "%s: its mode is 0%o, so that others than its owner may read or write the keys; 0600 at most",
      file->path(), *permissions));
}

absl::Status ReadWhole(base::File* file, size_t bytes_max, std::string* text) {
  const absl::StatusOr<uint64_t> size = file->Size();
  if (!size.ok()) return size.status();
  if (*size > bytes_max) {
    return Invalid(base::StrCat(file->path(), ": ", *size, " bytes, ", bytes_max, " at most"));
  }
  text->resize(*size);
  const absl::StatusOr<size_t> read = file->ReadAt(0, *text);
  if (!read.ok()) return read.status();
  text->resize(*read);
  return absl::OkStatus();
}

absl::Status WriteNew(base::FileSystem* files, const std::string& path, std::string_view text) {
  if (absl::Status status = files->Remove(path); !status.ok() && !absl::IsNotFound(status)) {
    return status;  // it is what a crash left
  }
  auto file = files->Create(path);
  if (!file.ok()) return file.status();
  if (absl::Status status = (*file)->WriteAt(0, text); !status.ok()) return status;
  return (*file)->SyncData();
}

}  // namespace

absl::StatusOr<Keyring> ParseKeyring(std::string_view text) {
  WipingMemory memory;
  json::parse_options options;
  options.max_depth = kDepthMax;
  json::stream_parser parser(json::storage_ptr(&memory), options);
  parser.reset(json::storage_ptr(&memory));
  json::error_code error;
  parser.write(text.data(), text.size(), error);
  if (!error) parser.finish(error);
  if (error) return Invalid(base::StrCat("not a JSON array of keys: ", error.message()));
  const json::value value = parser.release();
  const json::array* const array = value.if_array();
  if (array == nullptr) return Invalid("not a JSON array of keys");
  if (array->empty()) return Invalid("no keys present in keyring");
  std::optional<Keyring> keyring;
  for (size_t i = 0; i < array->size(); ++i) {
    const json::string* const string = (*array)[i].if_string();
    if (string == nullptr) return Invalid(base::StrCat("key ", i + 1, " is not a string"));
    const absl::StatusOr<Key> key = Key::FromBase64({string->data(), string->size()});
    if (!key.ok()) return WithPath(base::StrCat("key ", i + 1), key.status());
    if (!keyring.has_value()) {
      keyring.emplace(*key);
    } else if (absl::Status status = keyring->Install(*key); !status.ok()) {
      return Invalid(base::ToStd(status.message()));
    }
  }
  return *std::move(keyring);
}

std::string FormatKeyring(const Keyring& keyring) {
  std::string text;
  // Once and for all, so that growth leaves no copies behind.
  text.reserve((Key::kTextBytesMax + 8) * keyring.keys().size() + 8);
  text += "[";
  for (const Key& key : keyring.keys()) {
    SecretText encoded{key.ToBase64()};
    base::StrAppend(&text, text.size() == 1 ? "\n  \"" : ",\n  \"", encoded.text, "\"");
  }
  text += "\n]";
  return text;
}

KeyringFile::KeyringFile(base::FileSystem* files, std::string directory, std::string_view name)
    : files_(files), directory_(std::move(directory)), path_(base::JoinPath(directory_, name)) {}

absl::StatusOr<std::optional<Keyring>> KeyringFile::Load() {
  auto file = files_->Open(path_);
  if (absl::IsNotFound(file.status())) return std::nullopt;
  if (!file.ok()) return file.status();
  if (absl::Status status = CheckPermissions(file->get()); !status.ok()) return status;
  SecretText contents;
  if (absl::Status status = ReadWhole(file->get(), kFileBytesMax, &contents.text); !status.ok()) {
    return status;
  }
  absl::StatusOr<Keyring> keyring = ParseKeyring(contents.text);
  if (!keyring.ok()) return WithPath(path_, keyring.status());
  return std::optional<Keyring>(*std::move(keyring));
}

absl::Status KeyringFile::Store(const Keyring& keyring) {
  if (absl::Status status = files_->CreateDirectories(directory_); !status.ok()) return status;
  const SecretText contents{FormatKeyring(keyring)};
  const std::string path_new = base::StrCat(path_, ".new");
  // A failed sync ends nothing here: this file is given up, the one before still stands, and the
  // next attempt begins with another.
  absl::Status status = WriteNew(files_, path_new, contents.text);
  if (status.ok()) status = files_->Rename(path_new, path_);
  if (!status.ok()) {
    (void)files_->Remove(path_new);
    return status;
  }
  return files_->SyncDirectory(directory_);
}

absl::StatusOr<KeyringStart> KeyringFile::Start(const std::optional<Key>& configured) {
  absl::StatusOr<std::optional<Keyring>> stored = Load();
  if (!stored.ok()) return stored.status();
  if (stored->has_value()) {
    KeyringStart start{*std::move(stored), {}};
    if (configured.has_value() && !start.keyring->has(*configured)) {
      start.warning = base::StrCat(
          "keyring doesn't include key provided with -encrypt, using keyring ", path_);
    }
    return start;
  }
  if (!configured.has_value()) return KeyringStart{};
  Keyring keyring(*configured);
  if (absl::Status status = Store(keyring); !status.ok()) return status;
  return KeyringStart{std::move(keyring), {}};
}

}  // namespace consul::gossip
