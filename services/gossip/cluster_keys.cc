#include "services/gossip/cluster_keys.h"

#include <string>

#include "services/base/check.h"
#include "services/base/strings.h"
#include "services/gossip/cluster_message.h"
#include "services/gossip/member.h"

namespace consul::gossip {
namespace {

namespace pb = internal::gossip::v1;

// Of an answer beside its keys: the reply's time and id, the longest name, the words.
constexpr size_t kAnswerFrameBytes = kNameBytesMax + 128;
// A key in an answer.
constexpr size_t kAnswerKeyBytes = Key::kBytesMax + 2;

// The keyring as `asked` wants it.
absl::StatusOr<Keyring> Changed(Keyring keyring, const pb::KeyQuery& asked) {
  absl::StatusOr<Key> key = Key::FromBytes(asked.key());
  if (!key.ok()) return key.status();
  absl::Status status;
  switch (asked.operation()) {
    case pb::KEY_OPERATION_INSTALL:
      status = keyring.Install(*key);
      break;
    case pb::KEY_OPERATION_USE:
      status = keyring.Use(*key);
      break;
    case pb::KEY_OPERATION_REMOVE:
      status = keyring.Remove(*key);
      break;
    default:
      status = absl::InvalidArgumentError("no such operation on keys");
      break;
  }
  if (!status.ok()) return status;
  return keyring;
}

}  // namespace

void ClusterKeys::Asked(ReceivedQueryId query, std::string_view source,
                        const pb::KeyQuery& asked) {
  const bool lists = asked.operation() == pb::KEY_OPERATION_LIST;
  absl::Status refused;
  if (!keyring_.has_value()) {
    refused = absl::FailedPreconditionError(
        lists ? "Keyring is empty (encryption not enabled)"
              : "No keyring to modify (encryption not enabled)");
  } else if (!lists && waiting_.size() >= context_->options.key_changes_max) {
    refused = absl::ResourceExhaustedError(base::StrCat(
        "more than ", context_->options.key_changes_max, " changes of the keyring at once"));
  }
  context_->Say({ClusterFactKind::kKeysAsked, std::string(source), {},
                 static_cast<uint64_t>(asked.operation()), std::string(refused.message())});
  if (!refused.ok()) return Reply(query, refused);
  if (lists) return List(query);
  waiting_.push_back({query, asked});
  BeginNext();
}

void ClusterKeys::List(ReceivedQueryId query) {
  const size_t keys_max =
      (context_->options.response_bytes_max - kAnswerFrameBytes) / kAnswerKeyBytes;
  Answer answer{query, {}};
  answer.answer.set_ok(true);
  for (const Key& key : keyring_->keys()) {
    if (static_cast<size_t>(answer.answer.keys_size()) == keys_max) break;
    answer.answer.add_keys(std::string(key.bytes()));
  }
  const size_t told = answer.answer.keys_size();
  if (told < keyring_->keys().size()) {
    answer.answer.set_message(base::StrCat("Truncated key list response, showing first ", told,
                                           " of ", keyring_->keys().size(), " keys"));
  }
  answers_.push_back(std::move(answer));
}

void ClusterKeys::BeginNext() {
  while (!storing_.has_value() && !waiting_.empty()) {
    const Change change = std::move(waiting_.front());
    waiting_.pop_front();
    Begin(change);
  }
}

void ClusterKeys::Begin(const Change& change) {
  const absl::StatusOr<Keyring> next = Changed(*keyring_, change.asked);
  if (!next.ok()) return Reply(change.query, next.status());
  if (*next == *keyring_) return Reply(change.query, absl::OkStatus());  // it is so already
  storing_ = Storing{++last_id_, change.query, *next};
  context_->output.keyring_store = KeyringStore{last_id_, *next};
}

void ClusterKeys::Stored(uint64_t id, const absl::Status& status) {
  CONSUL_CHECK(storing_.has_value());
  CONSUL_CHECK(storing_->id == id);
  if (status.ok()) keyring_ = storing_->next;
  Reply(storing_->query, status);
  storing_.reset();
  BeginNext();
}

void ClusterKeys::Reply(ReceivedQueryId query, const absl::Status& status) {
  Answer answer{query, {}};
  answer.answer.set_ok(status.ok());
  // Errors of files name paths, which may be long.
  answer.answer.set_message(std::string(base::ToStd(status.message()).substr(0, 512)));
  answers_.push_back(std::move(answer));
}

void AddKeyAnswer(std::string_view from, const pb::KeyAnswer& answer, KeyResult* result) {
  ++result->answered;
  if (!answer.ok()) ++result->failed;
  if (!answer.ok() || !answer.message().empty()) {
    result->messages.emplace(from, answer.message());
  }
  for (int i = 0; i < answer.keys_size(); ++i) {
    const std::string text = Key::FromBytes(answer.keys(i))->ToBase64();
    ++result->keys[text];
    if (i == 0) ++result->primary_keys[text];
  }
}

void FinishKeyResult(KeyResult* result) {
  if (result->failed > 0) {
    result->error =
        base::StrCat(result->failed, "/", result->nodes, " nodes reported failure");
  } else if (result->answered != result->nodes) {
    result->error =
        base::StrCat(result->answered, "/", result->nodes, " nodes reported success");
  }
}

}  // namespace consul::gossip
