/** Every benchmark by name. */
import type { BenchmarkName } from "../options.ts"
import type { Benchmark } from "../suite.ts"
import { drain } from "./drain.ts"
import { peers } from "./peers.ts"

export const benchmarks: Readonly<Record<BenchmarkName, Benchmark>> = { drain, peers }
