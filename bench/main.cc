// SPDX-License-Identifier: GPL-3.0-or-later
// main() of the micro benchmarks; the cases register themselves from *_bench.cc.

#include <benchmark/benchmark.h>

BENCHMARK_MAIN();
