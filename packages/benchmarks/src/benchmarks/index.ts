/** Every benchmark by name. */
import type { BenchmarkName } from "../options.ts"
import type { Benchmark } from "../suite.ts"
import { barrier } from "./barrier.ts"
import { catchup } from "./catchup.ts"
import { cold } from "./cold.ts"
import { drain } from "./drain.ts"
import { fanout } from "./fanout.ts"
import { idle } from "./idle.ts"
import { memory } from "./memory.ts"
import { peers } from "./peers.ts"
import { propagation } from "./propagation.ts"
import { reads } from "./reads.ts"
import { write } from "./write.ts"

export const benchmarks: Readonly<Record<BenchmarkName, Benchmark>> = {
  barrier,
  catchup,
  cold,
  drain,
  fanout,
  idle,
  memory,
  peers,
  propagation,
  reads,
  write
}
