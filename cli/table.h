// cli/table.h
//
// Rows as aligned columns: two spaces between, nothing behind the last.
//
// Threads: pure function.
#ifndef CONSUL_CLI_TABLE_H_
#define CONSUL_CLI_TABLE_H_

#include <string>
#include <vector>

namespace consul::cli {

// One line for each row. A shorter row leaves its last columns empty. Widths are counted in
// characters of UTF-8, not in bytes.
std::string Table(const std::vector<std::vector<std::string>>& rows);

}  // namespace consul::cli

#endif  // CONSUL_CLI_TABLE_H_
