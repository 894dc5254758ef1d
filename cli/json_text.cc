#include "cli/json_text.h"

#include <boost/json.hpp>

namespace consul::cli {

std::string JsonString(std::string_view text) {
  return boost::json::serialize(boost::json::value(boost::json::string_view(text.data(), text.size())));
}

}  // namespace consul::cli
