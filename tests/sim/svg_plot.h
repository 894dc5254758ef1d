// tests/sim/svg_plot.h
//
// Lines in a picture, as SVG text: enough for the figures of docs/.
//
// Threads: pure functions.
#ifndef CONSUL_TESTS_SIM_SVG_PLOT_H_
#define CONSUL_TESTS_SIM_SVG_PLOT_H_

#include <string>
#include <utility>
#include <vector>

namespace consul::tests {

struct SvgLine {
  std::string label;
  std::string color;  // any that SVG knows
  bool dashed = false;
  std::vector<std::pair<double, double>> points;
};

struct SvgPlot {
  std::string title;
  std::string x_label;
  std::string y_label;
  double x_max = 1;
  double y_max = 1;
  double x_step = 1;  // between marks
  double y_step = 1;
  std::vector<SvgLine> lines;
};

// The picture, ready for a file.
std::string RenderSvg(const SvgPlot& plot);

}  // namespace consul::tests

#endif  // CONSUL_TESTS_SIM_SVG_PLOT_H_
