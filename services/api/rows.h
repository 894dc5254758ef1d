// services/api/rows.h
//
// Rows in replies without copies.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_API_ROWS_H_
#define CONSUL_SERVICES_API_ROWS_H_

namespace consul::api {

// A row as a reply's setters want it. The reply is on an arena and is only read from here on
// (services/rpc/call.h): nothing writes through the pointer, and the call holds the version.
template <typename Row>
Row* Lend(const Row& row) {
  return const_cast<Row*>(&row);
}

}  // namespace consul::api

#endif  // CONSUL_SERVICES_API_ROWS_H_
