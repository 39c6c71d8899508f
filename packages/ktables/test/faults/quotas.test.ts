/** Quotas of the embedded Kafka: tables and writers are slowed down, and nothing else. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { KafkaTableWriter } from "effect-ktables"
import { onCluster, keys, write } from "../support/kafka.ts"
import { type Subject } from "../support/subject.ts"
import { numbers } from "../table/fixtures.ts"
import { observeNumbers, withTopic } from "./fixtures.ts"

/** Lets time pass until a condition holds; tells how often the table was seen throttled. It must never look cut off. */
const throttledUntil = Effect.fnUntraced(function* (
  { pass, table }: Subject<string, number>,
  what: string,
  isDone: () => boolean
) {
  let throttled = 0
  for (let passed = 0; !isDone(); passed += 100) {
    assert.isBelow(passed, 300_000, what)
    yield* pass(100)
    for (const { connected, throttledUntil } of (yield* table.health).partitions) {
      assert.isTrue(connected)
      if (Option.isSome(throttledUntil)) throttled++
    }
  }
  return throttled
})

describe("quotas", () => {
  for (const [what, quotas] of [
    ["bytes that are fetched", { consumer_byte_rate: 300 }],
    ["requests", { request_percentage: 0.2 }]
  ] as const) {
    it.effect(`row 51: under a quota on ${what} a table loads whole and follows, slowly and connected`, () =>
      onCluster(
        Effect.gen(function* () {
          const kafka = yield* withTopic({ partitions: 2 })
          for (let batch = 0; batch < 20; batch++) {
            yield* write("numbers", keys(20, `old-${batch}-`), { partition: batch % 2 })
          }
          yield* kafka.setQuotas(quotas)
          const subject = yield* observeNumbers({
            table: {
              catchUp: { mode: "background" },
              // A batch at a time.
              fetch: { maxPartitionBytes: 1, maxBytes: 1 },
              metadataRefresh: "10 minutes"
            }
          })
          const statuses = () => [...new Set(subject.statuses.map(({ _tag }) => _tag))]
          const loading = yield* throttledUntil(subject, "the load", () => statuses().includes("CaughtUp"))
          assert.isAbove(loading, 0, "health says so of the load")
          assert.strictEqual(subject.contents().size, 400)
          for (let batch = 0; batch < 20; batch++) {
            yield* write("numbers", keys(20, `new-${batch}-`), { partition: batch % 2 })
          }
          const following = yield* throttledUntil(subject, "the follower", () => subject.contents().size === 800)
          assert.isAbove(following, 0, "health says so of the follower")
          assert.deepStrictEqual(statuses(), ["Loading", "CaughtUp"])
          yield* kafka.setQuotas({})
          yield* subject.pass(20_000)
          assert.isTrue((yield* subject.table.health).partitions.every((p) => Option.isNone(p.throttledUntil)))
          yield* subject.verify()
        })
      )
    )
  }

  it.effect("row 51: under a quota on what is produced a writer goes on at that pace, each write once", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic({ partitions: 2 })
        const subject = yield* observeNumbers({ isAlone: false })
        const writer = yield* KafkaTableWriter.make(numbers)
        yield* kafka.setQuotas({ producer_byte_rate: 100 })
        const all = Effect.forEach(keys(40), (key, value) => writer.set(key, value))
        const acks = yield* subject.within("the writes", 120_000, all)
        const places = new Set(acks.map(({ offset, partition }) => `${partition}@${offset}`))
        assert.strictEqual(places.size, 40)
        assert.strictEqual((yield* kafka.log("numbers")).length, 40, "nothing was written twice")
        yield* subject.until("the last record", 10_000, () => subject.contents().size === 40)
        assert.deepStrictEqual(
          subject.statuses.map(({ _tag }) => _tag),
          ["CaughtUp"]
        )
        yield* subject.verify()
      })
    )
  )
})
