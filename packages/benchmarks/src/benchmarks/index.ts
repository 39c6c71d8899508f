/** Every benchmark by name. */
import { Effect } from "effect"
import type { BenchmarkName } from "../options.ts"
import type { Benchmark } from "../suite.ts"
import { barrier } from "./barrier.ts"
import { catchup } from "./catchup.ts"
import { checkpoint } from "./checkpoint.ts"
import { cold } from "./cold.ts"
import { drain } from "./drain.ts"
import { fanout } from "./fanout.ts"
import { http } from "./http.ts"
import { idle } from "./idle.ts"
import { memory } from "./memory.ts"
import { operators } from "./operators.ts"
import { peers } from "./peers.ts"
import { propagation } from "./propagation.ts"
import { reads } from "./reads.ts"
import { restart } from "./restart.ts"
import { tables } from "./tables.ts"
import { write } from "./write.ts"

/** The library's own, without the peers: what a short run proves. */
const own: ReadonlyArray<Benchmark> = [
  cold,
  catchup,
  restart,
  checkpoint,
  propagation,
  barrier,
  write,
  reads,
  memory,
  fanout,
  operators,
  http,
  idle,
  tables,
  drain
]

const all: Benchmark = (suite) =>
  Effect.map(
    Effect.forEach(own, (benchmark) => benchmark({ ...suite, options: { ...suite.options, peers: [] } })),
    (runs) => runs.flat()
  )

export const benchmarks: Readonly<Record<BenchmarkName, Benchmark>> = {
  all,
  barrier,
  catchup,
  checkpoint,
  cold,
  drain,
  fanout,
  http,
  idle,
  memory,
  operators,
  peers,
  propagation,
  reads,
  restart,
  tables,
  write
}
