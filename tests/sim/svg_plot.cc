#include "tests/sim/svg_plot.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "services/base/strings.h"

namespace consul::tests {
namespace {

using base::StrAppend;
using base::StrCat;

constexpr double kWidth = 1040;
constexpr double kHeight = 420;
constexpr double kLeft = 60;
constexpr double kTop = 56;
constexpr double kRight = 320;  // for what the lines are
constexpr double kBottom = 50;

// One digit behind the point: finer than the eye, and the file stays small.
std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  std::string number = text;
  if (number.size() > 2 && number.substr(number.size() - 2) == ".0") {
    number.resize(number.size() - 2);
  }
  return number;
}

std::string Text(double x, double y, const std::string& anchor, const std::string& text) {
  return StrCat("<text x=\"", Number(x), "\" y=\"", Number(y), "\" text-anchor=\"", anchor, "\">",
                text, "</text>\n");
}

}  // namespace

std::string RenderSvg(const SvgPlot& plot) {
  const auto x_of = [&](double x) { return kLeft + x / plot.x_max * (kWidth - kLeft - kRight); };
  const auto y_of = [&](double y) {
    return kHeight - kBottom - y / plot.y_max * (kHeight - kTop - kBottom);
  };
  std::string svg = StrCat("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ",
                           Number(kWidth), " ", Number(kHeight),
                           "\" font-family=\"sans-serif\" font-size=\"12\">\n",
                           "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n");
  StrAppend(&svg, Text(kLeft, 20, "start", plot.title));
  for (double x = 0; x <= plot.x_max + 1e-9; x += plot.x_step) {
    StrAppend(&svg, "<path d=\"M", Number(x_of(x)), " ", Number(y_of(0)), "V",
              Number(y_of(plot.y_max)), "\" stroke=\"#ddd\"/>\n",
              Text(x_of(x), y_of(0) + 16, "middle", Number(x)));
  }
  for (double y = 0; y <= plot.y_max + 1e-9; y += plot.y_step) {
    StrAppend(&svg, "<path d=\"M", Number(x_of(0)), " ", Number(y_of(y)), "H",
              Number(x_of(plot.x_max)), "\" stroke=\"#ddd\"/>\n",
              Text(x_of(0) - 6, y_of(y) + 4, "end", Number(y)));
  }
  StrAppend(&svg, Text((kLeft + kWidth - kRight) / 2, kHeight - 12, "middle", plot.x_label),
            Text(kLeft - 40, kTop - 12, "start", plot.y_label));
  double legend = kTop + 14;
  for (const SvgLine& line : plot.lines) {
    const std::string style = StrCat("fill=\"none\" stroke=\"", line.color, "\" stroke-width=\"2\"",
                                     line.dashed ? " stroke-dasharray=\"5 4\"" : "");
    StrAppend(&svg, "<path d=\"");
    std::string previous_y;
    const auto beyond = [&](const auto& point) { return point.first > plot.x_max; };
    const size_t count = static_cast<size_t>(
        std::find_if(line.points.begin(), line.points.end(), beyond) - line.points.begin());
    for (size_t i = 0; i < count; ++i) {
      const auto& [x, y] = line.points[i];
      const std::string y_text = Number(y_of(std::min(y, plot.y_max)));
      // Of a level stretch the two ends are enough.
      const bool level = i > 0 && i + 1 < count && y_text == previous_y &&
                         Number(y_of(std::min(line.points[i + 1].second, plot.y_max))) == y_text;
      if (level) continue;
      StrAppend(&svg, i == 0 ? "M" : "L", Number(x_of(x)), " ", y_text);
      previous_y = y_text;
    }
    StrAppend(&svg, "\" ", style, "/>\n<path d=\"M", Number(kWidth - kRight + 16), " ",
              Number(legend - 4), "h28\" ", style, "/>\n",
              Text(kWidth - kRight + 52, legend, "start", line.label));
    legend += 17;
  }
  return StrCat(svg, "</svg>\n");
}

}  // namespace consul::tests
