#include "services/agent/config/merge.h"

namespace consul::agent::config {

void Merge(Value* base, const Value& over) {
  if (over.IsAbsent()) return;
  if (const List* list = over.as_list(); list != nullptr && base->as_list() != nullptr) {
    base->as_list()->insert(base->as_list()->end(), list->begin(), list->end());
    return;
  }
  const Object* object = over.as_object();
  if (object == nullptr) {
    *base = over;
    return;
  }
  if (base->as_object() == nullptr) {
    *base = Value(Object());
    base->position = over.position;
    base->source = over.source;
  }
  Object* into = base->as_object();
  for (const auto& [name, value] : *object) {
    if (value.IsAbsent()) continue;
    auto* child = const_cast<Value*>(base->Find(name));
    if (child == nullptr) {
      into->emplace_back(name, Value());
      child = &into->back().second;
    }
    Merge(child, value);
  }
}

}  // namespace consul::agent::config
