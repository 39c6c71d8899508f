import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Option, Schema, SchemaGetter, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Codec, KafkaTable, type TableChange, TableTopic } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { eventually, onMemory, put, toRecord } from "./fixtures.ts"

const memory = MemoryKafka.MemoryKafka

/** A registry that answers later, from another turn of the event loop, and may be down. */
class Registry extends Context.Service<Registry, { readonly lookup: (id: string) => Effect.Effect<string> }>()(
  "test/Registry"
) {}

const Looked = Schema.String.pipe(
  Schema.decodeTo(Schema.String, {
    decode: SchemaGetter.transformEffect((id: string) => Effect.flatMap(Registry, ({ lookup }) => lookup(id))),
    encode: SchemaGetter.transform((text: string) => text)
  })
)
const looked = TableTopic.make({ name: "looked", key: Schema.String, value: Looked })

describe("a table whose codec needs effects", () => {
  it.effect("captures the services of its schema, and keeps the log's order while it waits", () =>
    onMemory(
      Effect.gen(function* () {
        yield* (yield* memory).createTopic("looked")
        yield* put("looked", [
          ["a", "1"],
          ["b", "2"]
        ])
        const table = yield* KafkaTable.make(looked).pipe(
          Effect.provide(
            Layer.succeed(Registry, {
              lookup: (id) =>
                Effect.as(
                  Effect.promise(() => Promise.resolve()),
                  `<${id}>`
                )
            })
          )
        )
        assert.deepStrictEqual(toRecord(yield* table.snapshot), { a: "<1>", b: "<2>" })
        const heard: Array<TableChange.TableChange<string, string>> = []
        yield* Effect.forkScoped(Stream.runForEach(table.changes, (change) => Effect.sync(() => heard.push(change))))
        yield* eventually("the snapshot", () => heard.length === 1)
        yield* put("looked", [
          ["a", "3"],
          ["c", "4"],
          ["a", null],
          ["c", "5"]
        ])
        yield* table.barrier()
        assert.deepStrictEqual(toRecord(yield* table.snapshot), { b: "<2>", c: "<5>" })
        yield* eventually("the changes", () => heard.length === 5)
        assert.deepStrictEqual(
          heard.slice(1).map((change) => (change._tag === "Snapshot" ? change._tag : `${change._tag} ${change.key}`)),
          ["Set a", "Set c", "Deleted a", "Set c"]
        )
      })
    )
  )

  it.effect("retries a codec that is unavailable instead of skipping the record", () =>
    onMemory(
      Effect.gen(function* () {
        let isDown = true
        let asked = 0
        const flaky = Codec.make<string>({
          decode: (bytes) =>
            Effect.suspend(() => {
              asked++
              return isDown
                ? Effect.fail(new Codec.CodecError({ detail: "registry down", isTransient: true }))
                : Effect.succeed(bytes.toString())
            }),
          encode: (text) => Exit.succeed(Buffer.from(text))
        })
        const topic = TableTopic.make({ name: "flaky", key: Schema.String, value: flaky })
        const kafka = yield* memory
        yield* kafka.createTopic("flaky")
        yield* kafka.append("flaky", [{ key: "a", value: "1" }])
        const building = yield* Effect.forkScoped(KafkaTable.make(topic))
        yield* eventually("a question", () => asked > 0)
        for (let i = 0; i < 5; i++) yield* TestClock.adjust("1 second")
        assert.isAbove(asked, 2)
        isDown = false
        yield* TestClock.adjust("2 seconds")
        const table = yield* Fiber.join(building)
        assert.deepStrictEqual(yield* table.get("a"), Option.some("1"))
        assert.strictEqual((yield* table.health).stats.valueDecodeErrors, 0)
      })
    )
  )

  it.effect("says ReaderDied and freezes when a codec runs out of memory", () =>
    onMemory(
      Effect.gen(function* () {
        const thrower = Codec.map(
          Codec.string,
          (text) => {
            if (text === "bomb") throw new RangeError("Array buffer allocation failed")
            return text
          },
          (text) => text
        )
        const topic = TableTopic.make({ name: "bombs", key: Schema.String, value: thrower })
        const kafka = yield* memory
        yield* kafka.createTopic("bombs")
        yield* kafka.append("bombs", [{ key: "a", value: "1" }])
        const table = yield* KafkaTable.make(topic)
        const changes = yield* Effect.forkScoped(Effect.exit(Stream.runCollect(table.changes)))
        yield* kafka.append("bombs", [
          { key: "b", value: "2" },
          { key: "c", value: "bomb" },
          { key: "d", value: "4" }
        ])
        const error = yield* Effect.flip(table.failure)
        assert.strictEqual(error._tag, "ReaderDied")
        assert.include(error.message, "Array buffer allocation failed")
        // What came before it in the same answer is applied, and nothing behind it.
        assert.deepStrictEqual(toRecord(yield* table.snapshot), { a: "1", b: "2" })
        assert.strictEqual((yield* table.status)._tag, "Failed")
        assert.isTrue(Exit.isFailure(yield* Fiber.join(changes)))
        assert.strictEqual((yield* Effect.flip(table.barrier()))._tag, "ReaderDied")
      })
    )
  )

  it.effect("reads by structural keys", () =>
    onMemory(
      Effect.gen(function* () {
        const Key = Schema.Struct({ tenant: Schema.String, id: Schema.Int })
        const topic = TableTopic.make({ name: "structural", key: Codec.json(Key), value: Schema.String })
        const kafka = yield* memory
        yield* kafka.createTopic("structural")
        const key = (tenant: string, id: number) => JSON.stringify({ tenant, id })
        yield* put("structural", [
          [key("a", 1), "x"],
          [key("b", 2), "y"],
          [`{ "id": 1, "tenant": "a" }`, "z"],
          [key("b", 2), null]
        ])
        const table = yield* KafkaTable.make(topic)
        assert.deepStrictEqual(yield* table.get({ tenant: "a", id: 1 }), Option.some("z"))
        assert.isFalse(yield* table.has({ tenant: "b", id: 2 }))
        assert.strictEqual((yield* table.entries).length, 1)
        yield* put("structural", [[key("a", 1), null]])
        yield* table.barrier()
        assert.strictEqual(yield* table.size, 0)
      })
    )
  )
})

describe("a schema that changes", () => {
  const name = "hosts"
  const V1 = Schema.Struct({ host: Schema.String })
  const V2 = Schema.Struct({ host: Schema.String, zone: Schema.String })
  const V2WithDefault = Schema.Struct({
    host: Schema.String,
    zone: Schema.String.pipe(Schema.withDecodingDefaultKey(Effect.succeed("anywhere")))
  })
  const read = <S extends Schema.ConstraintCodec<unknown, unknown, never, never>>(value: S) =>
    Effect.gen(function* () {
      const table = yield* KafkaTable.make(TableTopic.make({ name, key: Schema.String, value }))
      return [Object.fromEntries(yield* table.entries), (yield* table.health).stats.valueDecodeErrors]
    }).pipe(Effect.scoped)

  it.effect(
    "reads older records by a decoding default, and under skip shows what decodes until they are rewritten",
    () =>
      onMemory(
        Effect.gen(function* () {
          yield* (yield* memory).createTopic(name)
          yield* put(name, [
            ["old", { host: "a" }],
            ["new", { host: "b", zone: "eu" }],
            // Rolled back: an older program wrote it last.
            ["both", { host: "c", zone: "us" }],
            ["both", { host: "d" }]
          ])
          const eu = { host: "b", zone: "eu" }
          assert.deepStrictEqual(yield* read(V2WithDefault), [
            { old: { host: "a", zone: "anywhere" }, new: eu, both: { host: "d", zone: "anywhere" } },
            0
          ])
          // Without a default the old shape does not decode: such a key is absent, or has the value before it.
          assert.deepStrictEqual(yield* read(V2), [{ new: eu, both: { host: "c", zone: "us" } }, 2])
          // Programs of the old shape pass over the field that they do not know.
          assert.deepStrictEqual(yield* read(V1), [{ old: { host: "a" }, new: { host: "b" }, both: { host: "d" } }, 0])
        })
      )
  )
})
