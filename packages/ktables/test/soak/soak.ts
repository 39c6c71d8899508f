/**
 * Tables and writers on three brokers under a seeded schedule of faults. At the end everything heals, and every
 * invariant is checked: tables equal Java's read of the log, acknowledged writes are in it once and in order, what
 * subscribers heard adds up, all closes, and no connection is left.
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
import { draw } from "./faults.ts"
import { makeRandom } from "./random.ts"
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

/** Partitions of each topic at the start. */
const TOPICS = [2, 3, 4]
const PACE = 40
/** The share of the time after which no topic grows: keys come to rest in the partitions that own them. */
const GROWING = 0.8

/** Fails with a defect, which names the invariant that did not hold. */
export const soak = (options: SoakOptions): Effect.Effect<SoakResult, never, Scope.Scope> => Effect.orDie(run(options))

const run = Effect.fnUntraced(function* ({ log, seconds, seed, transport }: SoakOptions) {
  const random = makeRandom(seed)
  const cluster = yield* TestKafka.startCluster({ nodes: 3, proxies: true, heap: "256m" })
  const java = yield* JavaPeer.make({ brokers: cluster.innerBrokers })
  const since = yield* Clock.currentTimeMillis
  const elapsed = Effect.map(Clock.currentTimeMillis, (now) => (now - since) / 1000)
  const tell = (line: string) => Effect.map(elapsed, (at) => log(`${at.toFixed(1).padStart(7)} s  ${line}`))

  const runs: Array<Run> = []
  const ready = yield* Deferred.make<void>()
  const over = yield* Deferred.make<void>()
  const counts = { committed: 0, aborted: 0, failed: 0 }
  let isOver = false

  const underLoad = Effect.forEach(
    TOPICS,
    (partitions, i) =>
      scenario(
        {
          cluster,
          java,
          name: `soak-${i}`,
          partitions,
          pace: PACE,
          transports: transport === undefined ? transports : [transport, transport]
        },
        (run) =>
          Effect.gen(function* () {
            if (runs.push(run) === TOPICS.length) yield* Deferred.succeed(ready, undefined)
            const transactions = yield* Effect.forkChild(
              transact({ java, topic: run.topic, random: makeRandom(seed + i), isOver: () => isOver, counts })
            )
            yield* Deferred.await(over)
            yield* Fiber.join(transactions)
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
      const fault = draw({ cluster, topics, random })
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
