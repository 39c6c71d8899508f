/**
 * Tables and writers on three brokers under a seeded schedule of faults: of the network, of brokers, quotas, elections and
 * growth, and absences longer than tombstones stay on one topic, whose segments and `delete.retention.ms` are seconds. Java
 * writes beside them in transactions, another one with another partitioner, and writers with metadata of several ages share
 * keys. At the end everything heals, and every invariant is checked: tables equal fresh tables and Java's read of the log,
 * acknowledged writes are in it once and in order (the newest of each key, where the log is cleaned), what subscribers
 * heard adds up, all closes, and no connection is left. Before that, one broker becomes another cluster several times.
 */
import { Clock, Deferred, Effect, Fiber, type Scope } from "effect"
import { TestKafka } from "@effect-ktables/testing"
import { JavaPeer } from "@effect-ktables/testing/interop"
import {
  assertNoSockets,
  heal,
  type Run,
  scenario,
  type Transport,
  transports
} from "../integration/faults/scenario.ts"
import { writeAtSeveralAges } from "./ages.ts"
import { draw } from "./faults.ts"
import { writeForeign } from "./foreign.ts"
import { makeRandom } from "./random.ts"
import { replaceClusters } from "./replaced.ts"
import { transact } from "./transactions.ts"

export interface SoakOptions {
  readonly seconds: number
  readonly seed: number
  /** Default: both, side by side on each topic. */
  readonly transport?: Transport | undefined
  readonly log: (line: string) => void
}

export interface SoakResult {
  readonly faults: number
  readonly acknowledged: number
  readonly unacknowledged: number
  readonly committed: number
  readonly aborted: number
  readonly failedTransactions: number
}

/** What tombstones have on the topic that is cleaned: `draw` has absences that are longer. */
const SHORT_RETENTION = {
  "delete.retention.ms": "10000",
  "segment.ms": "2000",
  "min.cleanable.dirty.ratio": "0.01"
}
/** Partitions of each topic at the start. */
const TOPICS = [
  { partitions: 2, isCleaned: false },
  { partitions: 3, isCleaned: false },
  { partitions: 4, isCleaned: true }
]
/** Of the whole time, one change of cluster for each so many seconds. */
const SECONDS_PER_REPLACEMENT = 120
const PACE = 40
/** The share of the time after which no topic grows: keys come to rest in the partitions that own them. */
const GROWING = 0.8

/** Fails with a defect, which names the invariant that did not hold. */
export const soak = (options: SoakOptions): Effect.Effect<SoakResult, never, Scope.Scope> => Effect.orDie(run(options))

const run = Effect.fnUntraced(function* ({ log, seconds, seed, transport }: SoakOptions) {
  const random = makeRandom(seed)
  const begun = yield* Clock.currentTimeMillis
  yield* Effect.scoped(
    replaceClusters({
      times: Math.max(1, Math.round(seconds / SECONDS_PER_REPLACEMENT)),
      random,
      transports: transport === undefined ? transports : [transport, transport],
      tell: (line) =>
        Effect.map(Clock.currentTimeMillis, (now) => log(`${((now - begun) / 1000).toFixed(1).padStart(7)} s  ${line}`))
    })
  )
  const cluster = yield* TestKafka.startCluster({ nodes: 3, proxies: true, heap: "256m" })
  const java = yield* JavaPeer.make({ brokers: cluster.innerBrokers })
  const since = yield* Clock.currentTimeMillis
  const elapsed = Effect.map(Clock.currentTimeMillis, (now) => (now - since) / 1000)
  const tell = (line: string) => Effect.map(elapsed, (at) => log(`${at.toFixed(1).padStart(7)} s  ${line}`))

  const runs: Array<Run> = []
  const growing: Array<string> = []
  const ready = yield* Deferred.make<void>()
  const over = yield* Deferred.make<void>()
  const counts = { committed: 0, aborted: 0, failed: 0 }
  let isOver = false

  const underLoad = Effect.forEach(
    TOPICS,
    ({ isCleaned, partitions }, i) =>
      scenario(
        {
          cluster,
          java,
          name: `soak-${i}`,
          partitions,
          isCleaned,
          config: isCleaned ? SHORT_RETENTION : {},
          pace: PACE,
          transports: transport === undefined ? transports : [transport, transport]
        },
        (run) =>
          Effect.gen(function* () {
            runs.push(run)
            if (!isCleaned) growing.push(run.topic)
            if (runs.length === TOPICS.length) yield* Deferred.succeed(ready, undefined)
            const { topic } = run
            const beside = yield* Effect.forkChild(
              Effect.all(
                [
                  transact({ java, topic, random: makeRandom(seed + i), isOver: () => isOver, counts }),
                  writeForeign({ java, topic, partitions, random: makeRandom(seed + 10 + i), isOver: () => isOver }),
                  isCleaned
                    ? Effect.void
                    : writeAtSeveralAges({ cluster, topic, random: makeRandom(seed + 20 + i), isOver: () => isOver })
                ],
                { concurrency: "unbounded", discard: true }
              )
            )
            yield* Effect.raceFirst(Deferred.await(over), Effect.andThen(Fiber.join(beside), Effect.never))
            yield* Fiber.join(beside)
            yield* java.abortTransactions(run.topic)
            for (let round = 0; round < 4; round++) yield* run.flows
          })
      ),
    { concurrency: "unbounded", discard: true }
  )

  const harm = Effect.gen(function* () {
    yield* Deferred.await(ready)
    yield* tell(`${TOPICS.length} topics under load`)
    const topics = runs.map(({ topic }) => topic)
    let faults = 0
    while ((yield* elapsed) < seconds) {
      const fault = draw({ cluster, topics, growing, random })
      const tooLate = fault.name.startsWith("grow") && (yield* elapsed) > seconds * GROWING
      const pause = random.between(200, 2500)
      if (!tooLate) {
        yield* tell(fault.name)
        yield* fault.run
        faults++
      }
      yield* Effect.sleep(pause)
    }
    yield* tell("healing")
    yield* heal(cluster)
    isOver = true
    yield* Deferred.succeed(over, undefined)
    return faults
  })

  const [faults] = yield* Effect.all([harm, underLoad], { concurrency: 2 })
  yield* assertNoSockets(cluster)
  const attempts = runs.flatMap(({ parties }) => parties.flatMap(({ workload }) => workload.attempts))
  const acknowledged = attempts.filter(({ exit }) => exit._tag === "Success").length
  const result: SoakResult = {
    faults,
    acknowledged,
    unacknowledged: attempts.length - acknowledged,
    committed: counts.committed,
    aborted: counts.aborted,
    failedTransactions: counts.failed
  }
  yield* tell(JSON.stringify(result))
  return result
})
