/** What a table says of records that it cannot show. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Logger, Schema } from "effect"
import { Codec, KafkaTable, TableTopic } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { pass } from "../support/time.ts"
import { numbers, onMemory } from "./fixtures.ts"

/** The lines that were logged, with their levels. */
const listening = <A, E, R>(run: (lines: ReadonlyArray<string>) => Effect.Effect<A, E, R>) => {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    lines.push(`${logLevel} ${String(message)}`)
  })
  return run(lines).pipe(Effect.provide(Logger.layer([logger])))
}

const about = (lines: ReadonlyArray<string>, what: string) => lines.filter((line) => line.includes(what))

describe("a load", () => {
  it.effect("in which records do not decode or have no key ends with a summary and two examples", () =>
    listening((lines) =>
      onMemory(
        Effect.gen(function* () {
          const kafka = yield* MemoryKafka.MemoryKafka
          yield* kafka.createTopic("numbers")
          yield* kafka.append("numbers", [
            { key: "a", value: "1" },
            ...Array.from({ length: 100 }, (_, i) => ({ key: `bad-${i}`, value: "x" })),
            ...Array.from({ length: 30 }, () => ({ key: null, value: "1" }))
          ])
          const table = yield* KafkaTable.make(numbers)
          const [line, ...others] = about(lines, "of 131 records have no key")
          assert.isEmpty(others)
          assert.match(line!, /^Warn /)
          assert.include(line, "30 of 131 records have no key; the values of 100 of 101 keys do not decode")
          assert.include(line, 'the first: key "bad-0" at 0:1: ')
          assert.include(line, 'the last: key "bad-99" at 0:100: ')
          const { stats } = yield* table.health
          assert.strictEqual(stats.valueDecodeErrors, 100)
          assert.strictEqual(stats.keyless, 30)
        })
      )
    )
  )

  it.effect("of a topic of which no value decodes looks at some older values, says so, and goes on", () =>
    listening((lines) =>
      onMemory(
        Effect.gen(function* () {
          let decoded = 0
          const value = Codec.make<number>({
            decode: () => {
              decoded++
              return Exit.fail(new Codec.CodecError({ detail: "of another schema" }))
            },
            encode: () => Exit.succeed(Buffer.alloc(0))
          })
          const kafka = yield* MemoryKafka.MemoryKafka
          yield* kafka.createTopic("numbers")
          const keys = Array.from({ length: 1000 }, (_, i) => ({ key: `key-${i}`, value: "x" }))
          for (let round = 0; round < 20; round++) yield* kafka.append("numbers", keys)
          const table = yield* KafkaTable.make(TableTopic.make({ name: "numbers", key: Schema.String, value }))
          assert.strictEqual(decoded, 11_000, "each newest value, and 10,000 of 19,000 older ones")
          const [line, ...others] = about(lines, "no more of them are looked for")
          assert.isEmpty(others)
          assert.include(line, "Warn numbers[0]: none of 10000 older values decodes")
          assert.strictEqual((yield* table.health).stats.valueDecodeErrors, 1000)
          yield* kafka.append("numbers", [{ key: "key-0", value: null }])
          yield* table.barrier()
        })
      )
    )
  )

  it.effect("looks for older values to the end where some decode", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("numbers")
        yield* kafka.append("numbers", [{ key: "early", value: "1" }])
        const bad = Array.from({ length: 1000 }, (_, i) => ({ key: `key-${i}`, value: "x" }))
        for (let round = 0; round < 12; round++) yield* kafka.append("numbers", bad)
        yield* kafka.append("numbers", [
          { key: "late", value: "2" },
          { key: "late", value: "x" },
          { key: "early", value: "x" }
        ])
        const table = yield* KafkaTable.make(numbers)
        assert.deepStrictEqual(Object.fromEntries(yield* table.entries), { early: 1, late: 2 })
      })
    )
  )

  it.effect("in which nothing decodes ends with an error, with keys that can be printed", () =>
    listening((lines) =>
      onMemory(
        Effect.gen(function* () {
          const kafka = yield* MemoryKafka.MemoryKafka
          yield* kafka.createTopic("numbers")
          yield* kafka.append("numbers", [
            { key: Buffer.from([0x1b, 0x5b, 0x41]), value: "x" },
            { key: "k".repeat(5000), value: "y".repeat(5000) }
          ])
          yield* KafkaTable.make(TableTopic.make({ name: "numbers", key: Schema.String, value: Schema.Int }))
          const [line] = about(lines, "nothing in it can be shown")
          assert.match(line!, /^Error /)
          assert.include(line, "key 0x1b5b41 at 0:0")
          assert.include(line, "… (5000 bytes) at 0:1")
          assert.isBelow(line!.length, 2000)
        })
      )
    )
  )
})

describe("records that do not decode while live", () => {
  it.effect("are told of by their number although no further one comes", () =>
    listening((lines) =>
      onMemory(
        Effect.gen(function* () {
          const kafka = yield* MemoryKafka.MemoryKafka
          yield* kafka.createTopic("numbers")
          const table = yield* KafkaTable.make(numbers)
          yield* kafka.append(
            "numbers",
            Array.from({ length: 100 }, (_, i) => ({ key: `bad-${i}`, value: "x" }))
          )
          yield* table.barrier()
          assert.lengthOf(about(lines, "does not decode"), 1)
          yield* pass(11_000)
          const told = about(lines, "does not decode")
          assert.lengthOf(told, 2)
          assert.include(told[1], "@99")
          assert.include(told[1], "(and 98 more like it)")
        })
      )
    )
  )
})
