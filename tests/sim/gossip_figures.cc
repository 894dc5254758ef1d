// tests/sim/gossip_figures.cc
//
// Prints the table of docs/GOSSIP.md: what membership costs and how fast it is, in virtual time,
// beside plain SWIM and the targets. Pools of 100 and 1,000; of 10,000 too with --large, which
// takes minutes and 7 GB. --svg DIR draws how the news of a death spreads (gossip_spread.svg)
// and how often the living are taken for dead (gossip_pauses.svg). --part NAME measures one part
// alone: detection, spread, loss, pauses, rest.
#include <algorithm>
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

enum class Verdict : uint8_t { kNone, kMet, kMissed };

Verdict Judge(bool met) { return met ? Verdict::kMet : Verdict::kMissed; }

void Row(const std::string& what, const std::string& ours, const std::string& plain,
         const std::string& target, Verdict verdict) {
  const char* const text = verdict == Verdict::kNone  ? ""
                           : verdict == Verdict::kMet ? "met"
                                                      : "**missed**";
  std::cout << "| " << what << " | " << ours << " | " << plain << " | " << target << " | " << text
            << " |" << std::endl;
}

double InSeconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

// ---- Deaths.

void Detection(size_t count) {
  const bool large = count > 1000;
  const size_t deaths = large ? 40 : 200;
  // Each stays dead for 20 s: 2 % of the pool at a time.
  const Duration spacing = std::chrono::seconds(1000) / static_cast<int64_t>(count);
  const SwimOptions options;
  const double period = InSeconds(options.probe_interval);
  const auto text = [&](const DetectionFigures& figures) {
    return StrCat(Number(figures.mean / period, 2), " ± ", Number(figures.error / period, 2));
  };
  const DetectionFigures ours = MeasureDetection(options, count, deaths, spacing, kSeed);
  const std::string plain =
      large ? "" : text(MeasureDetection(PlainSwim(), count, deaths, spacing, kSeed));
  const double target = 1.2 * kSwimPeriods;
  Row(StrCat(count, " members, ", deaths, " deaths: first detection, mean, in protocol periods"),
      text(ours), plain, StrCat("<= ", Number(target, 2)), Judge(ours.mean / period <= target));
}

void Draw(const std::string& name, const std::string& color, const SpreadFigures& figures,
          std::vector<tests::SvgLine>* lines) {
  tests::SvgLine suspected{StrCat(name, ": suspected or dead"), color, false, {}};
  tests::SvgLine dead{StrCat(name, ": dead"), color, true, {}};
  for (size_t i = 0; i < figures.suspected_curve.size(); i += 5) {
    const double x = static_cast<double>(i) / 100;
    suspected.points.emplace_back(x, 100 * figures.suspected_curve[i]);
    dead.points.emplace_back(x, 100 * figures.dead_curve[i]);
  }
  lines->push_back(std::move(suspected));
  lines->push_back(std::move(dead));
}

void Spread(size_t count, const std::string& color, std::vector<tests::SvgLine>* lines) {
  const bool large = count > 1000;
  const size_t deaths = large ? 5 : 30;
  const SwimOptions options;
  const SpreadFigures ours = MeasureSpread(options, count, deaths, kSeed);
  SpreadFigures plain;
  if (!large) plain = MeasureSpread(PlainSwim(), count, deaths, kSeed);
  const auto known = [](const SpreadFigures& figures) {
    return StrCat(Number(figures.known_max, 2), " s (mean ", Number(figures.known_mean, 2), " s)");
  };
  const auto confirmed = [](const SpreadFigures& figures) {
    return StrCat(Number(figures.confirmed_mean, 2), " s (worst ",
                  Number(figures.confirmed_max, 2), " s; known to 99 % ",
                  Number(figures.confirmed_all_mean, 2), " s)");
  };
  const std::string members = StrCat(count, " members, ", deaths, " deaths: ");
  const double hops = std::ceil(std::log2(static_cast<double>(count)));
  const double target = 1.2 * hops * InSeconds(options.gossip_interval);
  Row(StrCat(members, "known to 99 % after the first detection, worst"), known(ours),
      large ? "" : known(plain), StrCat("<= ", Number(target, 2), " s"),
      Judge(ours.known_max <= target));
  Row(StrCat(members, "confirmed dead after the first detection, mean"), confirmed(ours),
      large ? "" : confirmed(plain), StrCat("<= 1.1 x ", Number(ours.formula, 1), " s"),
      Judge(ours.confirmed_mean <= 1.1 * ours.formula));
  Draw(StrCat(count, " members"), color, ours, lines);
  if (count == 1000) Draw("1000 members, plain SWIM", "#999", plain, lines);
}

// ---- False positives.

// Against nothing there is nothing to compare.
void Compare(const std::string& what, uint64_t ours, uint64_t plain, bool target) {
  const bool judged = target && plain > 0;
  Row(what, StrCat(ours), StrCat(plain), target ? "<= 1/20 of plain SWIM's" : "",
      judged ? Judge(20 * ours <= plain) : Verdict::kNone);
}

void Loss(size_t count) {
  SwimOptions packets_only;
  packets_only.tcp_probes = false;
  for (const int percent : {5, 25}) {
    const double loss = percent / 100.0;
    const int minutes = percent == 5 ? 30 : 10;
    const auto measure = [&](const SwimOptions& options) {
      return MeasureLoss(options, count, loss, std::chrono::minutes(minutes), kSeed);
    };
    const auto plain = measure(PlainSwim());
    const auto ours = measure(SwimOptions());
    const std::string what =
        StrCat(count, " members, ", percent, " % loss for ", minutes, " minutes: ");
    Compare(StrCat(what, "wrong deaths"), ours.of_running, plain.of_running, true);
    Compare(StrCat(what, "wrong suspicions"), ours.suspicions, plain.suspicions, percent == 5);
    if (percent != 5) continue;
    Compare(StrCat(what, "wrong suspicions, without pings on a stream"),
            measure(packets_only).suspicions, plain.suspicions, false);
  }
}

void PausesInTurn(size_t count, std::vector<tests::SvgLine>* lines) {
  const auto duration = std::chrono::minutes(30);
  tests::SvgLine line_ours{"ours", "#1b9e77", false, {}};
  tests::SvgLine line_plain{"plain SWIM", "#999", false, {}};
  for (const bool sockets_only : {false, true}) {
    for (const int seconds : {1, 3, 5, 8, 10, 12, 15}) {
      const bool shown = seconds % 5 == 0 || seconds == 1;
      if (!sockets_only && !shown) continue;
      Pauses pauses;
      pauses.sockets_only = sockets_only;
      pauses.pause = std::chrono::seconds(seconds);
      const auto ours = MeasurePauses(SwimOptions(), count, pauses, duration, kSeed);
      const auto plain = MeasurePauses(PlainSwim(), count, pauses, duration, kSeed);
      if (sockets_only) {
        const double members = static_cast<double>(count);
        line_ours.points.emplace_back(seconds, static_cast<double>(ours.of_running) / members);
        line_plain.points.emplace_back(seconds, static_cast<double>(plain.of_running) / members);
      }
      if (!shown) continue;
      const std::string what =
          StrCat(count, " members, 30 minutes, 2 % in turn stop ",
                 sockets_only ? "at their sockets " : "", "for ", seconds, " s again and again: ");
      Compare(StrCat(what, "wrong deaths"), ours.of_running, plain.of_running, true);
      Compare(StrCat(what, "wrong suspicions"), ours.suspicions, plain.suspicions, false);
      Compare(StrCat(what, "deaths of those that stop"), ours.of_paused, plain.of_paused, false);
    }
  }
  lines->push_back(std::move(line_ours));
  lines->push_back(std::move(line_plain));
}

// ---- Rest.

void Rest(const std::vector<size_t>& counts) {
  const auto packets = [](const RestFigures& figures) {
    return StrCat(Number(figures.packet_bytes, 1), " bytes in ", Number(figures.packets, 2),
                  " packets");
  };
  const auto exchange = [](const RestFigures& figures) {
    return StrCat(Number(figures.exchange_bytes, 0), " bytes");
  };
  const auto within = [](double value, double first) {
    return Judge(std::abs(value - first) <= 0.05 * first);
  };
  std::vector<RestFigures> all;
  for (const size_t count : counts) {
    const bool large = count > 1000;
    const auto duration = large ? std::chrono::seconds(60) : std::chrono::seconds(600);
    all.push_back(MeasureRest(SwimOptions(), count, duration, kSeed));
    const RestFigures& ours = all.back();
    RestFigures plain;
    if (!large) plain = MeasureRest(PlainSwim(), count, duration, kSeed);
    Row(StrCat(count, " members at rest: UDP of a member in a second"), packets(ours),
        large ? "" : packets(plain), "constant within 5 %",
        within(ours.packet_bytes, all.front().packet_bytes));
    Row(StrCat(count, " members at rest: one exchange, both ways"), exchange(ours),
        large ? "" : exchange(plain), "constant within 5 %",
        within(ours.exchange_bytes, all.front().exchange_bytes));
  }
}

// ---- All of it.

bool Write(const std::string& path, const tests::SvgPlot& plot) {
  std::ofstream file(path);
  file << tests::RenderSvg(plot) << std::flush;
  if (!file) std::cerr << "gossip_figures: cannot write " << path << std::endl;
  return file.good();
}

bool DrawSpread(const std::string& path, const std::vector<tests::SvgLine>& lines) {
  tests::SvgPlot plot;
  plot.title = "How the news of a death spreads";
  plot.x_label = "seconds since the death";
  plot.y_label = "% of members that know";
  plot.x_max = 20;
  plot.y_max = 100;
  plot.x_step = 2;
  plot.y_step = 20;
  plot.lines = lines;
  return Write(path, plot);
}

bool DrawPauses(const std::string& path, const std::vector<tests::SvgLine>& lines) {
  tests::SvgPlot plot;
  plot.title = "Members that run well and are taken for dead, while others stop at their sockets";
  plot.x_label = "seconds for which 2 % of 100 members stop, again and again, in turn";
  plot.y_label = "wrong deaths that each member learns of in half an hour";
  double highest = 0;
  for (const tests::SvgLine& line : lines) {
    for (const auto& [x, y] : line.points) highest = std::max(highest, y);
  }
  plot.y_step = std::pow(10, std::floor(std::log10(std::max(1.0, highest)))) / 2;
  plot.y_max = plot.y_step * std::ceil(std::max(1.0, highest) / plot.y_step);
  plot.x_max = 15;
  plot.x_step = 1;
  plot.lines = lines;
  return Write(path, plot);
}

int Main(int argc, char** argv) {
  std::vector<size_t> counts = {100, 1000};
  std::string part;
  std::string svg;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--large") == 0) {
      counts.push_back(10'000);
    } else if (std::strcmp(argv[i], "--svg") == 0 && i + 1 < argc) {
      svg = argv[++i];
    } else if (std::strcmp(argv[i], "--part") == 0 && i + 1 < argc) {
      part = argv[++i];
    } else {
      std::cerr << "usage: gossip_figures [--large] [--part NAME] [--svg DIR]" << std::endl;
      return 1;
    }
  }
  std::cout << "| what | ours | plain SWIM | target | |\n|---|---|---|---|---|" << std::endl;
  const auto wanted = [&](const char* name) { return part.empty() || part == name; };
  std::vector<tests::SvgLine> spread;
  std::vector<tests::SvgLine> pauses;
  const char* const colors[] = {"#7570b3", "#1b9e77", "#d95f02"};
  if (wanted("detection")) {
    for (const size_t count : counts) Detection(count);
  }
  if (wanted("spread")) {
    for (size_t i = 0; i < counts.size(); ++i) Spread(counts[i], colors[i], &spread);
  }
  if (wanted("loss")) Loss(100);
  if (wanted("pauses")) PausesInTurn(100, &pauses);
  if (wanted("rest")) Rest(counts);
  if (svg.empty()) return 0;
  bool written = spread.empty() || DrawSpread(StrCat(svg, "/gossip_spread.svg"), spread);
  if (!pauses.empty()) written = DrawPauses(StrCat(svg, "/gossip_pauses.svg"), pauses) && written;
  return written ? 0 : 1;
}

}  // namespace
}  // namespace consul::gossip

int main(int argc, char** argv) { return consul::gossip::Main(argc, argv); }
