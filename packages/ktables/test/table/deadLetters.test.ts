/** A decision about a record that does not decode, which needs a service: a writer of dead letters. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Layer, Schema, Scope } from "effect"
import { Codec, KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { numbers, onMemory, put } from "./fixtures.ts"

const letters = TableTopic.make({ name: "letters", key: Schema.String, value: Codec.bytes })
class Letters extends KafkaTableWriter.Service<Letters>()("test/Letters", letters) {}

const keep: KafkaTable.OnDecodeError<Letters> = ({ offset, partition, topic }, { value }) =>
  Letters.use((writer) => writer.set(`${topic}:${partition}:${offset}`, value ?? new Uint8Array(0))).pipe(
    Effect.as("skip" as const),
    Effect.orElseSucceed(() => "fail" as const)
  )

class Numbers extends KafkaTable.Service<Numbers>()("test/Numbers", numbers) {}

describe("an onDecodeError that writes dead letters", () => {
  it.effect("keeps each record that does not decode, loaded and followed, by a writer of the table's layer", () =>
    onMemory(
      Effect.gen(function* () {
        yield* (yield* MemoryKafka.MemoryKafka).createTopic("numbers")
        yield* put("numbers", [
          ["a", 1],
          ["a", "first"],
          ["b", 2]
        ])
        const layer = Numbers.layerWith({ onDecodeError: keep }).pipe(Layer.provide(Letters.layer))
        yield* Effect.gen(function* () {
          const table = yield* Numbers
          yield* put("numbers", [
            ["b", "second"],
            ["c", 3]
          ])
          yield* table.barrier()
          assert.deepStrictEqual(new Map(table.view), new Map(Object.entries({ a: 1, b: 2, c: 3 })))
        }).pipe(Effect.provide(layer))
        const kept = yield* KafkaTable.make(letters)
        assert.deepStrictEqual(
          new Map(Array.from(kept.view, ([key, value]) => [key, Buffer.from(value).toString()])),
          new Map(Object.entries({ "numbers:0:1": '"first"', "numbers:0:3": '"second"' }))
        )
      })
    )
  )

  for (const headers of [false, true]) {
    it.effect(
      `is given the headers, loaded and followed, of a table that ${headers ? "keeps them" : "keeps none"}`,
      () =>
        onMemory(
          Effect.gen(function* () {
            const memory = yield* MemoryKafka.MemoryKafka
            yield* memory.createTopic("numbers")
            const write = (key: string, value: string, trace: string | null) =>
              memory.append("numbers", [
                { key, value, headers: [{ key: "trace", value: trace === null ? null : Buffer.from(trace) }] }
              ])
            yield* write("a", "loaded", "1")
            yield* memory.append("numbers", [{ key: "b", value: "bare" }])
            const seen: Array<readonly [offset: number, headers: unknown]> = []
            const keptHere: KafkaTable.OnDecodeError = (_, { headers, offset }) =>
              Effect.sync(() => {
                const texts = headers?.map(({ key, value }) => [key, value && Buffer.from(value).toString()])
                seen.push([offset, texts])
                return "skip"
              })
            const table = yield* KafkaTable.make(numbers, { headers, onDecodeError: keptHere })
            yield* write("a", "followed", "2")
            yield* write("c", "followed", null)
            yield* table.barrier()
            assert.deepStrictEqual(
              seen.toSorted(([a], [b]) => a - b),
              [
                [0, [["trace", "1"]]],
                [1, []],
                [2, [["trace", "2"]]],
                [3, [["trace", null]]]
              ]
            )
          })
        )
    )
  }

  it.effect("is interrupted when the table is closed meanwhile", () =>
    onMemory(
      Effect.gen(function* () {
        yield* (yield* MemoryKafka.MemoryKafka).createTopic("numbers")
        const asked = yield* Deferred.make<void>()
        const ended = yield* Deferred.make<Exit.Exit<"skip">>()
        const scope = yield* Scope.make()
        yield* KafkaTable.make(numbers, {
          onDecodeError: () =>
            Effect.andThen(Deferred.succeed(asked, undefined), Effect.never).pipe(
              Effect.onExit((exit) => Deferred.succeed(ended, exit))
            )
        }).pipe(Scope.provide(scope))
        yield* put("numbers", [["a", "poison"]])
        yield* Deferred.await(asked)
        yield* Scope.close(scope, Exit.void)
        const exit = yield* Deferred.await(ended)
        assert.isTrue(Exit.isFailure(exit) && Exit.hasInterrupts(exit))
      })
    )
  )
})
