/** One broker that becomes another cluster again and again, behind the same address, under tables and writers at work. */
import { Effect } from "effect"
import { TestKafka } from "@effect-ktables/testing"
import { JavaPeer } from "@effect-ktables/testing/interop"
import { assertNoSockets, is, scenario, type Transport } from "../integration/faults/scenario.ts"
import type { Random } from "./random.ts"

const PARTITIONS = 3

/**
 * Each new cluster numbers its topics and producers from the start, and Java's producer gets the numbers that our writers
 * had. What is acknowledged in the last cluster must be in its log, and tables must be what its log says.
 */
export const replaceClusters = Effect.fnUntraced(function* (options: {
  readonly times: number
  readonly random: Random
  readonly transports: ReadonlyArray<Transport>
  readonly tell: (line: string) => Effect.Effect<void>
}) {
  const { random, tell, times, transports } = options
  const cluster = yield* TestKafka.startCluster({ proxies: true, heap: "256m" })
  const [node] = cluster.nodes
  const java = yield* JavaPeer.make({ brokers: cluster.innerBrokers })
  yield* scenario({ cluster, java, name: "replaced", isReplaced: true, isLossy: true, transports }, (run) =>
    Effect.gen(function* () {
      for (let time = 1; time <= times; time++) {
        const isSilent = random.next() < 0.5
        yield* tell(`another cluster answers at the address, ${time} of ${times}`)
        if (!isSilent) yield* Effect.andThen(node!.proxy!.refuse, node!.proxy!.cut)
        yield* node!.reformat
        yield* node!.start
        yield* cluster.admin.createTopic({
          topic: run.topic,
          partitions: PARTITIONS,
          config: { "cleanup.policy": "compact" }
        })
        // Somebody else is first to be given the producer ids, and writes under them.
        for (let producer = 0; producer < 3; producer++) {
          const records = Array.from({ length: random.between(1, 200) }, (_, i) => ({
            key: `other-${i % 20}`,
            value: String(i)
          }))
          yield* java.produce({ topic: run.topic, records, idempotent: true })
        }
        yield* node!.proxy!.accept
        yield* run.each("rebuilt", is.rebuilt("TopicRecreated"))
        yield* run.flows
      }
    })
  )
  yield* assertNoSockets(cluster)
})
