import { assert, describe, it } from "@effect/vitest"
import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { TestAdmin, TestKafka } from "@effect-ktables/testing"
import { Effect, Fiber, Schedule } from "effect"
import * as KafkaClient from "effect-ktables/KafkaClient"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { eventually, fetchRequest } from "../../src/internal/contract/support.ts"
import { encodeBatch, readBatches } from "../../src/internal/recordBatch.ts"

describe("TestKafka", () => {
  it.layer(TestKafka.layer)("the Kafka of the test run", (it) => {
    it.effect("creates, grows and deletes a topic", () =>
      Effect.gen(function* () {
        const { admin } = yield* TestKafka.TestKafka
        const topic = yield* TestKafka.uniqueName("admin")
        yield* admin.createTopic({ topic, partitions: 2, config: { "cleanup.policy": "compact" } })
        assert.strictEqual((yield* admin.describe(topic)).partitions.length, 2)
        yield* admin.createPartitions(topic, 5)
        assert.strictEqual((yield* admin.describe(topic)).partitions.length, 5)
        yield* admin.alterConfig(topic, { "cleanup.policy": "delete" })
        // A leader refuses while its log still has the policy from before (POLICY_VIOLATION).
        const start = yield* Effect.retry(admin.deleteRecords(topic, 0, -1), {
          while: ({ code }) => code === 44,
          schedule: Schedule.spaced("50 millis"),
          times: 400
        })
        assert.strictEqual(start, 0)
        const again = yield* Effect.flip(admin.createTopic({ topic }))
        assert.strictEqual(again.code, 36)
        yield* admin.deleteTopic(topic)
        assert.deepStrictEqual((yield* admin.describe(topic)).partitions, [])
      })
    )

    it.effect("sets and takes away the quotas of a client id", () =>
      Effect.gen(function* () {
        const { admin } = yield* TestKafka.TestKafka
        const client = yield* TestKafka.uniqueName("quota")
        yield* admin.setClientQuotas({ consumer_byte_rate: 1e6, request_percentage: 50 }, client)
        yield* admin.setClientQuotas({ consumer_byte_rate: null, request_percentage: null }, client)
        const refused = yield* Effect.flip(admin.setClientQuotas({ consumer_byte_rate: -1 }, client))
        assert.strictEqual(refused.code, 42)
      })
    )
  })

  it.effect(
    "a cluster of three goes on without a broker that is killed, and takes it back on its old port",
    () =>
      Effect.gen(function* () {
        const cluster = yield* TestKafka.startCluster({ nodes: 3, heap: "192m" })
        const topic = yield* TestKafka.uniqueName("cluster")
        yield* cluster.admin.createTopic({ topic, assignments: [[1, 2, 3]] })
        const [first] = cluster.nodes
        yield* first!.kill
        assert.isFalse(yield* first!.isRunning)
        yield* cluster.admin.awaitPartition(topic, 0, (state) => state.leader === 2 || state.leader === 3)
        yield* first!.start
        const { brokers } = yield* cluster.admin.describe(topic)
        assert.deepStrictEqual(brokers.map((broker) => broker.id).sort(), [1, 2, 3])
        yield* cluster.admin.awaitPartition(topic, 0, (state) => state.inSync.includes(1))
        yield* cluster.admin.electLeader(topic, 0, "preferred")
        yield* cluster.admin.awaitPartition(topic, 0, (state) => state.leader === 1)
        yield* cluster.admin.assignReplicas(topic, 0, [1])
        assert.deepStrictEqual((yield* cluster.admin.describe(topic)).partitions[0]!.replicas, [1])
        assert.strictEqual((yield* cluster.admin.describe(topic)).partitions[0]!.leader, 1)
      }),
    120_000
  )

  it.live(
    "of two brokers the one whose cleaner starves keeps a tombstone that the other has dropped, and leads when told to",
    () =>
      Effect.gen(function* () {
        const cluster = yield* TestKafka.startCluster({
          nodes: 2,
          heap: "192m",
          properties: { "log.cleaner.backoff.ms": "100" },
          nodeProperties: (id) => (id === 2 ? { "log.cleaner.io.max.bytes.per.second": "1" } : {})
        })
        const topic = yield* TestKafka.uniqueName("replicas")
        yield* cluster.admin.createTopic({
          topic,
          assignments: [[1, 2]],
          config: {
            "cleanup.policy": "compact",
            "segment.ms": "1000",
            "delete.retention.ms": "0",
            "min.cleanable.dirty.ratio": "0"
          }
        })
        const keys = yield* Effect.gen(function* () {
          const client = yield* KafkaClient.KafkaClient
          const { topicId } = yield* client.describeTopic(topic)
          let now = Date.now() - 60_000
          const write = (key: string, value: string | null) =>
            client.produce(1, {
              topic,
              topicId,
              acks: -1,
              timeout: 10_000,
              partitions: [{ partition: 0, records: encodeBatch([{ key, value, timestamp: (now += 2_000) }]) }]
            })
          /** What a broker's own copy holds: a follower answers fetches too. */
          const keysAt = Effect.fnUntraced(function* (broker: number) {
            const fetcher = yield* client.openFetcher(broker)
            const seen: Array<string | null> = []
            for (let position = 0; ;) {
              const answer = yield* fetcher.fetch(fetchRequest({ topic, topicId }, position))
              const batches = readBatches(answer.partitions[0]!.records)
              if (batches.length === 0) return seen
              seen.push(...batches.flatMap(({ records }) => records.map(({ key }) => key)))
              position = batches.at(-1)!.lastOffset + 1
            }
          }, Effect.scoped)
          yield* write("gone", "1")
          yield* write("gone", null)
          // Each write rolls the segment. A round is over when the older one of its two records is gone; the one after the
          // round that first saw the tombstone drops it.
          for (const pulse of ["first", "second"]) {
            for (const value of ["1", "2"]) yield* write(pulse, value)
            yield* write("roll", "")
            yield* eventually(keysAt(1), (seen) => seen.filter((key) => key === pulse).length === 1)
          }
          assert.notInclude(yield* keysAt(1), "gone")
          yield* cluster.admin.moveLeader(topic, 0, 2)
          return yield* keysAt(2)
        }).pipe(Effect.provide(KafkaJsClient.layer({ brokers: cluster.brokers })))
        assert.deepStrictEqual(keys.slice(0, 2), ["gone", "gone"])
        assert.strictEqual((yield* cluster.admin.describe(topic)).partitions[0]!.leader, 2)
      }),
    120_000
  )

  it.effect(
    "a cluster behind proxies tells clients the proxies' addresses, and its admin goes around them",
    () =>
      Effect.gen(function* () {
        const cluster = yield* TestKafka.startCluster({ proxies: true })
        const [node] = cluster.nodes
        const proxy = node!.proxy!
        assert.strictEqual(node!.address, proxy.address)
        const seen = yield* TestAdmin.make(cluster.brokers).describe()
        assert.deepStrictEqual(
          seen.brokers.map((broker) => broker.address),
          [proxy.address]
        )
        yield* proxy.refuse
        const topic = yield* TestKafka.uniqueName("proxied")
        yield* cluster.admin.createTopic({ topic })
        const refused = yield* Effect.flip(TestAdmin.make(cluster.brokers).describe())
        assert.include(refused.message, "ECONNREFUSED")
      }),
    120_000
  )

  it.effect(
    "a paused broker says nothing until it is resumed, and a stopped one keeps its data",
    () =>
      Effect.gen(function* () {
        const cluster = yield* TestKafka.startCluster()
        const [node] = cluster.nodes
        const topic = yield* TestKafka.uniqueName("paused")
        yield* cluster.admin.createTopic({ topic, partitions: 2 })
        yield* node!.pause
        const asking = yield* Effect.forkChild(cluster.admin.describe(topic), { startImmediately: true })
        // Long enough for a broker that runs to have answered many times over.
        yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 500)))
        assert.isUndefined(asking.pollUnsafe())
        yield* node!.resume
        assert.strictEqual((yield* Fiber.join(asking)).partitions.length, 2)
        yield* node!.stop
        assert.isFalse(yield* node!.isRunning)
        yield* node!.start
        yield* cluster.admin.awaitPartition(topic, 1, (state) => state.leader === node!.id)
        assert.include(yield* node!.log, "Kafka Server started")
      }),
    120_000
  )

  it.effect(
    "brokers end with the process that started them, even when that is killed",
    () =>
      Effect.gen(function* () {
        const program = fileURLToPath(new URL("fixtures/startAndWait.ts", import.meta.url))
        const child = spawn(process.execPath, ["--conditions=source", program], {
          stdio: ["ignore", "pipe", "inherit"]
        })
        const address = yield* Effect.callback<string>((resume) => {
          child.stdout.once("data", (line: Buffer) => resume(Effect.succeed(line.toString().trim())))
          return Effect.sync(() => child.kill("SIGKILL"))
        })
        const admin = TestAdmin.make([address])
        yield* admin.describe()
        child.kill("SIGKILL")
        const giveUp = performance.now() + 20_000
        let last = ""
        while (!last.includes("ECONNREFUSED")) {
          assert.isBelow(performance.now(), giveUp, `the broker still listens: ${last}`)
          last = yield* Effect.match(admin.describe(), { onFailure: (error) => error.message, onSuccess: () => "" })
        }
      }),
    120_000
  )
})
