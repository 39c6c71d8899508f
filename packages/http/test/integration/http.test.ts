/** A table of a topic on a real Kafka, over HTTP. */
import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { TestKafka } from "@effect-ktables/testing"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"
import * as RemoteTable from "../../src/RemoteTable.ts"
import * as TableHttp from "../../src/TableHttp.ts"
import { last, open } from "../support/sse.ts"
import { ask, Price, prices, serve } from "../support/server.ts"

const client = Layer.unwrap(
  Effect.map(TestKafka.TestKafka, ({ brokers }) => KafkaJsClient.layer({ brokers: [...brokers] }))
).pipe(Layer.provideMerge(TestKafka.layer))

describe("over HTTP, on Kafka", () => {
  layer(client, { excludeTestServices: true, timeout: 300_000 })((it) => {
    it.effect("writes are read by whoever waits for them, in three partitions, and followed from where one was", () =>
      Effect.gen(function* () {
        const name = yield* TestKafka.uniqueName("http")
        const topic = TableTopic.make({ name, key: prices.key, value: Price, partitions: 3 })
        const table = yield* KafkaTable.make(topic, { ensureTopic: { create: true } })
        const writer = yield* KafkaTableWriter.make(topic)
        const url = yield* serve({ tables: [TableHttp.served(topic, table, { writer })] })
        const changes = `${url}/tables/${name}/changes`
        const reader = yield* open(changes)
        const begun = yield* reader.until(last("caughtup"))
        assert.strictEqual(begun.data.at[0][1].length, 32)
        for (let i = 0; i < 30; i++) {
          const entry = `${url}/tables/${name}/entries/k${i}`
          const { json } = yield* ask(entry, { method: "PUT", body: JSON.stringify({ amount: i }) })
          const read = yield* ask(`${entry}?at=${json.at}`)
          assert.deepStrictEqual([read.status, read.json], [200, { amount: i }])
        }
        yield* reader.until(() => (Object.keys(reader.entries()).length === 30 ? true : undefined))
        reader.close()
        yield* table.awaitOffset(yield* writer.delete("k3"))
        const again = yield* open(changes, {
          "last-event-id": reader.events.findLast(({ id }) => id !== undefined)!.id!
        })
        yield* again.until(last("changes", ({ data }) => data.changes.length > 0))
        assert.strictEqual(again.events[0]!.event, "resumed")
        const copy = yield* RemoteTable.make(url, topic)
        const ack = yield* copy.set("k3", { amount: 33 })
        yield* copy.awaitAck(ack)
        assert.deepStrictEqual(Object.fromEntries(yield* copy.entries), Object.fromEntries(yield* table.entries))
        assert.strictEqual(yield* copy.size, 30)
        const page = yield* ask(`${url}/tables/${name}/entries?limit=100`)
        const expected = Object.fromEntries(page.json.entries)
        assert.deepStrictEqual(expected, Object.fromEntries(yield* table.entries))
      }).pipe(Effect.scoped)
    )
  })
})
