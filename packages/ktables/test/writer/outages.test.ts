/** What a writer says, and shows, while its brokers are away. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Logger, Metric, Schema } from "effect"
import * as TableTopic from "effect-ktables/TableTopic"
import { TestClock } from "effect/testing"
import { byLastBit, writerTo } from "./fixtures.ts"
import { accept, cut, eventually, ScriptedKafka } from "./scriptedKafka.ts"

const capture = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (logLevel !== "Debug") lines.push(`${logLevel} ${String(message)}`)
  })
  return { lines, layer: Logger.layer([logger]) }
}

const connectedOf = (topic: string) =>
  Effect.map(Metric.snapshot, (all) => {
    const found = all.find((one) => one.id === "ktables_writer_connected" && one.attributes?.["topic"] === topic)
    return found?.type === "Gauge" ? found.state.value : undefined
  })

describe("brokers that are lost and found again", () => {
  it.effect("are said once each, with the topic, however many partitions and writes wait", () => {
    const { layer, lines } = capture()
    return Effect.gen(function* () {
      const kafka = new ScriptedKafka(2)
      const topic = TableTopic.make({ name: "lost-and-found", key: Schema.String, value: Schema.Finite })
      const writer = yield* writerTo(topic, kafka, { partitioner: byLastBit })
      assert.strictEqual(yield* connectedOf(topic.name), 1)
      yield* eventually(writer.set("a", 1))
      kafka.otherwise = cut
      const writes = yield* Effect.forkChild(
        Effect.forEach(["a", "b", "c", "d"], (key) => writer.set(key, 2), { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(lines.length, 1, lines.join("\n"))
      assert.include(lines[0], "Warn lost-and-found: no broker takes writes for now")
      assert.include(lines[0], "ECONNRESET")
      assert.strictEqual(yield* connectedOf(topic.name), 0)
      kafka.otherwise = accept
      yield* eventually(Fiber.join(writes))
      assert.strictEqual(lines.length, 2, lines.join("\n"))
      assert.match(lines[1]!, /^Info lost-and-found: brokers take writes again, after 3\d s/)
      assert.strictEqual(yield* connectedOf(topic.name), 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("are not worth a line where a moment of patience is enough", () => {
    const { layer, lines } = capture()
    return Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const topic = TableTopic.make({ name: "moment", key: Schema.String, value: Schema.Finite })
      const writer = yield* writerTo(topic, kafka)
      kafka.produces = [cut, cut]
      yield* eventually(writer.set("a", 1))
      assert.deepStrictEqual(lines, [])
    }).pipe(Effect.provide(layer))
  })
})
