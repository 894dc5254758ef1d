// services/base/version.h
//
// The version of the program, as `consul version`, the `build` tag of a member and the catalog show
// it.
#ifndef CONSUL_SERVICES_BASE_VERSION_H_
#define CONSUL_SERVICES_BASE_VERSION_H_

#include <string_view>

namespace consul::base {

inline constexpr std::string_view kVersion = "0.1.0";

// Versions of the protocol that agents speak among themselves, as the members' `vsn` tags tell.
inline constexpr int kProtocolMin = 1;
inline constexpr int kProtocolMax = 1;
inline constexpr int kProtocolDefault = 1;

// What operators know as the version of Raft's protocol: since 3 servers go by their ids.
inline constexpr int kRaftProtocol = 3;

}  // namespace consul::base

#endif  // CONSUL_SERVICES_BASE_VERSION_H_
