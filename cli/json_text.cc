#include "cli/json_text.h"

#include <boost/json.hpp>

namespace consul::cli {

std::string JsonString(std::string_view text) {
  const boost::json::string_view view(text.data(), text.size());
  return boost::json::serialize(boost::json::value(view));
}

}  // namespace consul::cli
