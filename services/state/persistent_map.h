// services/state/persistent_map.h
//
// An ordered map from byte strings to immutable entries that shares structure with its copies:
// copying a map costs one count, and writing to a copy makes anew only the nodes on the way to what
// is written. Nodes that no other copy has are edited in place, so the second write of a batch to
// the same part of the map copies nothing. The key is taken from the entry and stored nowhere else.
// Every node knows the highest modify index beneath it, so that the index of a prefix is one
// descent and a walk of what changed visits only that.
//
// An Entry has
//   std::string_view key() const;      the same for as long as the entry lives
//   uint64_t modify_index() const;
// and derives from Counted (held.h).
//
// Threads: any thread may call const members of a map while someone holds the version that it is
// part of. Copying, writing and destroying belong to the owner of the tables.
// Background: docs/decisions/0001-persistent-map.md.
#ifndef CONSUL_SERVICES_STATE_PERSISTENT_MAP_H_
#define CONSUL_SERVICES_STATE_PERSISTENT_MAP_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "services/base/check.h"
#include "services/state/held.h"
#include "services/state/map_node.h"

namespace consul::state {

template <typename Entry, int kFanOut = 16>
class PersistentMap {
  using Node = MapNode<Entry, kFanOut>;

 public:
  // Levels of the highest tree: with every node a quarter full that is beyond any memory.
  static constexpr int kDepthMax = 20;

  // A place in the map. Holds nothing: valid while the map it came from is neither changed nor
  // destroyed.
  class Iterator {
   public:
    Iterator() = default;
    bool Valid() const { return depth_ > 0; }
    // REQUIRES: Valid(), for all that follows.
    const Entry& entry() const { return *path_[depth_ - 1].node->entry(path_[depth_ - 1].at); }
    const Entry& operator*() const { return entry(); }
    const Entry* operator->() const { return &entry(); }
    void Next() {
      ++path_[depth_ - 1].at;
      Settle();
    }

   private:
    friend class PersistentMap;
    struct Step {
      const Node* node;
      int at;
    };
    void Push(const Node* node, int at) {
      CONSUL_CHECK(depth_ < kDepthMax);
      path_[depth_++] = {node, at};
    }
    // From a place that may be behind the end of its leaf to the next entry, or to the end.
    void Settle() {
      while (depth_ > 0 && path_[depth_ - 1].at >= path_[depth_ - 1].node->count) {
        if (--depth_ > 0) ++path_[depth_ - 1].at;
      }
      while (depth_ > 0 && !path_[depth_ - 1].node->leaf()) {
        Push(path_[depth_ - 1].node->child(path_[depth_ - 1].at), 0);
      }
    }
    int depth_ = 0;
    Step path_[kDepthMax];
  };

  PersistentMap() = default;
  PersistentMap(const PersistentMap& other) : root_(other.root_), size_(other.size_) {
    if (root_ != nullptr) Node::Ref(root_);
  }
  PersistentMap(PersistentMap&& other) noexcept
      : root_(std::exchange(other.root_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  PersistentMap& operator=(PersistentMap other) noexcept {
    std::swap(root_, other.root_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~PersistentMap() {
    if (root_ != nullptr) Node::Unref(root_);
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Returns the entry of `key`, or null.
  const Entry* Find(std::string_view key) const {
    const Node* node = root_;
    if (node == nullptr) return nullptr;
    while (!node->leaf()) node = node->child(node->ChildFor(key));
    bool found;
    const int at = node->LeafLowerBoundSharing(key, &found);
    return found ? node->entry(at) : nullptr;
  }

  // The first entry whose key is not below `key`.
  Iterator LowerBound(std::string_view key) const {
    Iterator it;
    const Node* node = root_;
    if (node == nullptr) return it;
    while (!node->leaf()) {
      const int at = node->ChildFor(key);
      it.Push(node, at);
      node = node->child(at);
    }
    bool found;
    it.Push(node, node->LeafLowerBound(key, &found));
    it.Settle();
    return it;
  }
  Iterator Begin() const { return LowerBound({}); }

  // Calls fn(const Entry&) for each entry whose key begins with `prefix`, in order, while it
  // returns true.
  template <typename Fn>
  void ForEachPrefix(std::string_view prefix, Fn fn) const {
    for (Iterator it = LowerBound(prefix); it.Valid() && it->key().starts_with(prefix); it.Next()) {
      if (!fn(*it)) return;
    }
  }

  // The highest modify index of the entries whose key begins with `prefix`; 0 if there are none.
  uint64_t IndexOfPrefix(std::string_view prefix) const {
    if (root_ == nullptr) return 0;
    uint64_t best = 0;
    IndexBeneath(root_, prefix, &best);
    return best;
  }

  // Calls fn(const Entry&), in order, for the entries under `prefix` whose modify index is above
  // `since`. Costs by what changed, not by what is there.
  template <typename Fn>
  void ForEachChanged(uint64_t since, std::string_view prefix, Fn fn) const {
    if (root_ != nullptr) ChangedBeneath(root_, since, prefix, fn);
  }

  // Puts `entry` in the place of its key. Returns the entry that was there, or null.
  Held<const Entry> Insert(Held<const Entry> entry) {
    Held<const Entry> replaced;
    if (root_ == nullptr) root_ = Node::New(0, {});
    const uint64_t index = entry->modify_index();
    Node* right = InsertBeneath(&root_, &entry, &replaced, index);
    if (right != nullptr) {
      Node* root = Node::New(static_cast<uint8_t>(root_->level + 1), {});
      CONSUL_CHECK(root->level < kDepthMax);
      root->slots[0] = root_;
      root->slots[1] = right;
      root->count = 2;
      root->RebuildHeads();
      root->RebuildIndex();
      root_ = root;
    }
    if (!replaced) ++size_;
    return replaced;
  }

  // Returns the entry that was erased, or null.
  Held<const Entry> Erase(std::string_view key) {
    if (Find(key) == nullptr) return {};
    Held<const Entry> erased;
    EraseBeneath(&root_, key, &erased);
    --size_;
    while (!root_->leaf() && root_->count == 1) {
      Node* child = root_->child(0);
      Node::Ref(child);
      Node::Unref(std::exchange(root_, child));
    }
    if (root_->count == 0) Node::Unref(std::exchange(root_, nullptr));
    return erased;
  }

  // Erases every entry under `prefix` and returns them in order.
  std::vector<Held<const Entry>> ErasePrefix(std::string_view prefix) {
    std::vector<Held<const Entry>> erased;
    ForEachPrefix(prefix, [&](const Entry& entry) {
      erased.push_back(Held<const Entry>(&entry));
      return true;
    });
    if (erased.size() == size_) {
      *this = PersistentMap();
    } else {
      for (const Held<const Entry>& entry : erased) Erase(entry->key());
    }
    return erased;
  }

  // Dies when the tree breaks an invariant of map_node.h. Returns the number of nodes.
  size_t CheckForTest() const {
    if (root_ == nullptr) {
      CONSUL_CHECK(size_ == 0);
      return 0;
    }
    size_t entries = 0;
    const size_t nodes = CheckBeneath(root_, true, &entries);
    CONSUL_CHECK(root_->low_size == 0);
    CONSUL_CHECK(entries == size_);
    std::string last;
    bool first = true;
    for (Iterator it = Begin(); it.Valid(); it.Next(), first = false) {
      CONSUL_CHECK(first || last < it->key());
      last = std::string(it->key());
    }
    return nodes;
  }

 private:
  // A node that becomes emptier than this is evened out with a neighbour.
  static constexpr int kCountMin = kFanOut / 4;

  // Returns the new right neighbour when the node had to be split, else null.
  static Node* InsertBeneath(Node** place, Held<const Entry>* entry, Held<const Entry>* replaced,
                             uint64_t index) {
    Node* node = *place = Node::Own(*place);
    Node* right = nullptr;
    if (node->leaf()) {
      bool found;
      const int at = node->LeafLowerBound((*entry)->key(), &found);
      void* slot = const_cast<Entry*>(entry->Disown());
      if (found) {
        *replaced = Held<const Entry>::Adopt(node->entry(at));
        node->slots[at] = slot;
        if ((*replaced)->modify_index() > index) node->RebuildIndex();
      } else {
        right = InsertOrSplit(node, at, slot);
      }
    } else {
      const int at = node->ChildFor((*entry)->key());
      Node* child = node->child(at);
      Node* split = InsertBeneath(&child, entry, replaced, index);
      node->slots[at] = child;
      if (split != nullptr) right = InsertOrSplit(node, at + 1, split);
      if (*replaced && (*replaced)->modify_index() > index) node->RebuildIndex();
    }
    if (right == nullptr) node->index_max = std::max(node->index_max, index);
    return right;
  }

  static Node* InsertOrSplit(Node* node, int at, void* slot) {
    if (node->count < kFanOut) {
      node->InsertSlot(at, slot);
      return nullptr;
    }
    // Whoever appends goes on appending: leave the left node full rather than half empty. An inner
    // node keeps at least kCountMin children all the same.
    const int cut_append = node->leaf() ? kFanOut : kFanOut - kCountMin + 1;
    const int cut = at == kFanOut ? cut_append : kFanOut / 2;
    std::string_view low;
    if (!node->leaf()) {
      low = node->child(cut)->low();
    } else if (cut == kFanOut) {
      low = Separator(node->key(cut - 1), static_cast<const Entry*>(slot)->key());
    } else if (at == cut) {
      low = Separator(static_cast<const Entry*>(slot)->key(), node->key(cut));
    } else {
      low = Separator(node->key(cut - 1), node->key(cut));
    }
    Node* right = Node::New(node->level, low);
    node->MoveTail(cut, right);
    if (at < cut || (at == cut && at != kFanOut)) {
      node->InsertSlot(at, slot);
      node->RebuildIndex();
    } else {
      right->InsertSlot(at - cut, slot);
      right->RebuildIndex();
    }
    return right;
  }

  // The shortest string above `left` and not above `right`.
  static std::string_view Separator(std::string_view left, std::string_view right) {
    return right.substr(0, CommonPrefix(left, right) + 1);
  }

  static void EraseBeneath(Node** place, std::string_view key, Held<const Entry>* erased) {
    Node* node = *place = Node::Own(*place);
    if (node->leaf()) {
      bool found;
      const int at = node->LeafLowerBound(key, &found);
      CONSUL_CHECK(found);
      *erased = Held<const Entry>::Adopt(node->entry(at));
      node->RemoveSlot(at);
    } else {
      const int at = node->ChildFor(key);
      Node* child = node->child(at);
      EraseBeneath(&child, key, erased);
      node->slots[at] = child;
      if (child->count < kCountMin && node->count > 1) Even(node, at > 0 ? at - 1 : at);
    }
    if ((*erased)->modify_index() == node->index_max) node->RebuildIndex();
  }

  // Makes one node of children `at` and `at + 1`, or two of equal size if one cannot hold all.
  static void Even(Node* node, int at) {
    Node* left = Node::Own(node->child(at));
    node->slots[at] = left;
    Node* right = Node::Own(node->child(at + 1));
    node->slots[at + 1] = right;
    void* slots[2 * kFanOut];
    const int total = left->count + right->count;
    std::copy_n(left->slots, left->count, slots);
    std::copy_n(right->slots, right->count, slots + left->count);
    const int kept = total <= kFanOut ? total : total / 2;
    Node* fresh = nullptr;
    if (kept < total) {
      const std::string low =
          left->leaf() ? std::string(Separator(static_cast<Entry*>(slots[kept - 1])->key(),
                                               static_cast<Entry*>(slots[kept])->key()))
                       : std::string(static_cast<Node*>(slots[kept])->low());
      fresh = Node::New(left->level, low);
      std::copy_n(slots + kept, total - kept, fresh->slots);
      fresh->count = static_cast<uint16_t>(total - kept);
      fresh->RebuildHeads();
      fresh->RebuildIndex();
    }
    std::copy_n(slots, kept, left->slots);
    left->count = static_cast<uint16_t>(kept);
    left->RebuildHeads();
    left->RebuildIndex();
    right->count = 0;
    Node::Unref(right);
    if (fresh != nullptr) {
      node->slots[at + 1] = fresh;
    } else {
      node->RemoveSlot(at + 1);
    }
    node->RebuildHeads();
  }

  static void IndexBeneath(const Node* node, std::string_view prefix, uint64_t* best) {
    if (node->index_max <= *best) return;
    if (prefix.empty()) {
      *best = node->index_max;
      return;
    }
    if (node->leaf()) {
      bool found;
      for (int i = node->LeafLowerBound(prefix, &found);
           i < node->count && node->entry(i)->key().starts_with(prefix); ++i) {
        *best = std::max(*best, node->entry(i)->modify_index());
      }
      return;
    }
    int at = node->ChildFor(prefix);
    IndexBeneath(node->child(at), prefix, best);
    for (++at; at < node->count && node->child(at)->low().starts_with(prefix); ++at) {
      // Whole when the next one begins inside the prefix as well.
      const bool whole =
          at + 1 < node->count && node->child(at + 1)->low().starts_with(prefix);
      IndexBeneath(node->child(at), whole ? std::string_view() : prefix, best);
    }
  }

  template <typename Fn>
  static void ChangedBeneath(const Node* node, uint64_t since, std::string_view prefix, Fn& fn) {
    if (node->index_max <= since) return;
    if (node->leaf()) {
      bool found;
      for (int i = node->LeafLowerBound(prefix, &found);
           i < node->count && node->entry(i)->key().starts_with(prefix); ++i) {
        if (node->entry(i)->modify_index() > since) fn(*node->entry(i));
      }
      return;
    }
    int at = node->ChildFor(prefix);
    ChangedBeneath(node->child(at), since, prefix, fn);
    for (++at; at < node->count && node->child(at)->low().starts_with(prefix); ++at) {
      ChangedBeneath(node->child(at), since, prefix, fn);
    }
  }

  static size_t CheckBeneath(const Node* node, bool root, size_t* entries) {
    CONSUL_CHECK(node->refs >= 1);
    CONSUL_CHECK(node->count <= kFanOut);
    CONSUL_CHECK(root || node->count >= 1);
    CONSUL_CHECK(root || node->leaf() || node->count >= 2);
    uint64_t index_max = 0;
    size_t nodes = 1;
    for (int i = 0; i < node->count; ++i) {
      index_max = std::max(index_max, node->slot_index(i));
      if (i > 0 || node->leaf()) {
        CONSUL_CHECK(node->key(i).size() >= node->skip);
        CONSUL_CHECK(node->heads[i] == HeadOf(node->key(i), node->skip));
      }
      CONSUL_CHECK(i == 0 || node->key(i - 1) < node->key(i));
      if (node->leaf()) {
        CONSUL_CHECK(node->key(i) >= node->low());
        ++*entries;
      } else {
        CONSUL_CHECK(node->child(i)->level + 1 == node->level);
        CONSUL_CHECK(i > 0 || node->child(0)->low() == node->low());
        nodes += CheckBeneath(node->child(i), false, entries);
      }
    }
    CONSUL_CHECK(index_max == node->index_max);
    return nodes;
  }

  Node* root_ = nullptr;
  size_t size_ = 0;
};

}  // namespace consul::state

#endif  // CONSUL_SERVICES_STATE_PERSISTENT_MAP_H_
