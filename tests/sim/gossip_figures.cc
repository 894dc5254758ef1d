// tests/sim/gossip_figures.cc
//
// Prints the table of docs/GOSSIP.md: what membership costs and how fast it is, in virtual time,
// beside its targets. Pools of 100 and 1,000; of 10,000 too with --large, which takes minutes and
// about 10 GB. --svg FILE draws how the news of a death spreads.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "services/base/strings.h"
#include "services/gossip/swim_options.h"
#include "tests/sim/gossip_scenarios.h"
#include "tests/sim/svg_plot.h"

namespace consul::gossip {
namespace {

using base::StrCat;

constexpr uint64_t kSeed = 20260101;
// SWIM's mean number of protocol periods until somebody probes a dead member: e / (e - 1).
constexpr double kSwimPeriods = 1.58;

std::string Number(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

void Row(const std::string& what, const std::string& measured, const std::string& target,
         bool met) {
  std::cout << "| " << what << " | " << measured << " | " << target << " | "
            << (met ? "yes" : "**no**") << " |" << std::endl;
}

SwimOptions Plain() {
  SwimOptions options;
  options.lifeguard = false;
  options.tcp_probes = false;
  return options;
}

void Detection(size_t count, size_t deaths) {
  const SwimOptions options;
  const DetectionFigures figures =
      MeasureDetection(options, count, deaths, std::chrono::seconds(2), kSeed);
  const double period = std::chrono::duration<double>(options.probe_interval).count();
  const double target = 1.2 * kSwimPeriods;
  Row(StrCat(count, " members, ", deaths, " deaths: first detection, mean, in protocol periods"),
      StrCat(Number(figures.mean / period, 2), " ± ", Number(figures.error / period, 2)),
      StrCat("<= ", Number(target, 2)), figures.mean / period <= target);
}

void Spread(size_t count, size_t deaths, std::vector<tests::SvgLine>* lines) {
  const SwimOptions options;
  const SpreadFigures figures = MeasureSpread(options, count, deaths, kSeed);
  const std::string members = StrCat(count, " members, ", deaths, " deaths: ");
  const double hops = std::ceil(std::log2(static_cast<double>(count)));
  const double known_target =
      1.2 * hops * std::chrono::duration<double>(options.gossip_interval).count();
  Row(StrCat(members, "known to 99 % after it, worst"),
      StrCat(Number(figures.known_max, 2), " s (mean ", Number(figures.known_mean, 2), " s)"),
      StrCat("<= ", Number(known_target, 2), " s"), figures.known_max <= known_target);
  Row(StrCat(members, "confirmed dead after it, mean"),
      StrCat(Number(figures.confirmed_mean, 2), " s (worst ", Number(figures.confirmed_max, 2),
             " s; known to 99 % ", Number(figures.confirmed_all_mean, 2), " s)"),
      StrCat("<= 1.1 x ", Number(figures.formula, 1), " s"),
      figures.confirmed_mean <= 1.1 * figures.formula);
  const char* colors[] = {"#1b9e77", "#d95f02", "#7570b3"};
  const std::string color = colors[lines->size() / 2 % 3];
  tests::SvgLine suspected{StrCat(count, " members: suspected"), color, false, {}};
  tests::SvgLine dead{StrCat(count, " members: known dead"), color, true, {}};
  for (size_t i = 0; i < figures.suspected_curve.size(); i += 5) {
    const double x = static_cast<double>(i) / 100;
    suspected.points.emplace_back(x, 100 * figures.suspected_curve[i]);
    dead.points.emplace_back(x, 100 * figures.dead_curve[i]);
  }
  lines->push_back(std::move(suspected));
  lines->push_back(std::move(dead));
}

void Compare(const std::string& what, const FalsePositiveFigures& ours,
             const FalsePositiveFigures& plain) {
  const uint64_t ours_all = ours.of_running + ours.of_paused;
  const uint64_t plain_all = plain.of_running + plain.of_paused;
  Row(StrCat(what, ": living members taken for dead"),
      StrCat(ours_all, " (plain SWIM ", plain_all, "); of those that ran ", ours.of_running, " (",
             plain.of_running, ")"),
      "<= 1/20 of plain SWIM's", 20 * ours_all <= plain_all);
  Row(StrCat(what, ": suspicions of members that ran"),
      StrCat(ours.suspicions, " (plain SWIM ", plain.suspicions, ")"), "", true);
}

void FalsePositives(size_t count) {
  const SwimOptions ours;
  const auto minutes = std::chrono::minutes(10);
  Compare(StrCat(count, " members, 10 minutes, 5 % loss"),
          MeasureLoss(ours, count, 0.05, minutes, kSeed),
          MeasureLoss(Plain(), count, 0.05, minutes, kSeed));
  for (const int seconds : {5, 15, 30}) {
    const auto pause = std::chrono::seconds(seconds);
    Compare(StrCat(count, " members, 10 minutes, 2 % paused in turn for ", seconds, " s"),
            MeasurePauses(ours, count, 0.02, pause, minutes, kSeed),
            MeasurePauses(Plain(), count, 0.02, pause, minutes, kSeed));
  }
}

void Rest(const std::vector<size_t>& counts) {
  std::vector<RestFigures> all;
  for (const size_t count : counts) {
    const auto duration =
        count > 1000 ? std::chrono::seconds(60) : std::chrono::seconds(600);
    all.push_back(MeasureRest(SwimOptions(), count, duration, kSeed));
    const RestFigures& figures = all.back();
    const auto within = [](double value, double first) {
      return std::abs(value - first) <= 0.05 * first;
    };
    Row(StrCat(count, " members at rest: UDP a member and second"),
        StrCat(Number(figures.packet_bytes, 1), " bytes in ", Number(figures.packets, 2),
               " packets"),
        "constant within 5 %", within(figures.packet_bytes, all.front().packet_bytes));
    Row(StrCat(count, " members at rest: one exchange, both ways"),
        StrCat(Number(figures.exchange_bytes, 0), " bytes (", Number(figures.exchanges, 1),
               " exchanges a second in the pool)"),
        "constant within 5 %", within(figures.exchange_bytes, all.front().exchange_bytes));
  }
}

int Main(int argc, char** argv) {
  bool large = false;
  std::string svg;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--large") == 0) {
      large = true;
    } else if (std::strcmp(argv[i], "--svg") == 0 && i + 1 < argc) {
      svg = argv[++i];
    } else {
      std::cerr << "usage: gossip_figures [--large] [--svg FILE]" << std::endl;
      return 1;
    }
  }
  std::cout << "| what | measured | target | met |\n|---|---|---|---|" << std::endl;
  std::vector<tests::SvgLine> lines;
  std::vector<size_t> counts = {100, 1000};
  if (large) counts.push_back(10'000);
  for (const size_t count : counts) {
    Detection(count, count > 1000 ? 60 : 500);
    Spread(count, count > 1000 ? 10 : 50, &lines);
  }
  FalsePositives(100);
  Rest(counts);
  if (svg.empty()) return 0;
  tests::SvgPlot plot;
  plot.title = "How the news of a death spreads";
  plot.x_label = "seconds since the death";
  plot.y_label = "% of members";
  plot.x_max = 20;
  plot.y_max = 100;
  plot.x_step = 2;
  plot.y_step = 20;
  plot.lines = std::move(lines);
  std::ofstream(svg) << tests::RenderSvg(plot);
  return 0;
}

}  // namespace
}  // namespace consul::gossip

int main(int argc, char** argv) { return consul::gossip::Main(argc, argv); }
