/** FAULTS "Lifetime": how tables end, and live beside each other. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Schema, Scope } from "effect"
import { KafkaClient, KafkaTable, TableTopic } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { keys, memory, onCluster, write } from "../support/kafka.ts"
import { numberDecoding } from "../support/oracle.ts"
import { failureOf, observe, requestsWhile } from "../support/subject.ts"
import { pass, within } from "../support/time.ts"
import { ackAt, numbersDecodedBy, observeNumbers, tableOfTen, withTopic } from "./fixtures.ts"

describe("lifetime", () => {
  it.effect("row 49: closed during a barrier with a hung broker: every wait ends, in no time", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOfTen()
        yield* kafka.pause()
        const waits = yield* Effect.forEach(
          [subject.table.barrier(), subject.table.awaitOffset(ackAt(100)), subject.table.failure],
          (wait) => Effect.forkScoped(failureOf<void, unknown, never>(wait), { startImmediately: true })
        )
        yield* subject.pass(1000)
        yield* subject.close
        for (const wait of waits) {
          const error = yield* within("the wait", 100, Fiber.join(wait))
          assert.strictEqual((error as { readonly _tag: string })._tag, "TableClosed")
        }
      }),
      { requestTimeout: 30_000 }
    )
  )

  it.effect("row 49: barriers of a table whose client is closed end by their time, or with the table", () =>
    Effect.gen(function* () {
      const client = yield* Scope.make()
      const services = yield* Layer.buildWithScope(Layer.fresh(MemoryKafka.layer), client)
      yield* Effect.gen(function* () {
        const { subject } = yield* tableOfTen()
        yield* Scope.close(client, Exit.void)
        const [timed, untimed] = yield* Effect.forEach(
          [subject.table.barrier({ timeout: 3000 }), subject.table.barrier()],
          (wait) => Effect.forkScoped(failureOf(wait), { startImmediately: true })
        )
        yield* subject.pass(4000)
        const late = yield* within("the barrier with a time", 100, Fiber.join(timed!))
        if (late._tag !== "BarrierTimeout") return assert.fail(late._tag)
        assert.deepStrictEqual(
          late.waitingFor.map(({ partition }) => partition),
          [0]
        )
        yield* subject.close
        const closed = yield* within("the barrier without", 100, Fiber.join(untimed!))
        assert.strictEqual(closed._tag, "TableClosed")
      }).pipe(Effect.scoped, Effect.provideContext(services))
    })
  )

  it.effect("row 49: closed twice, and while it is built again", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOfTen()
        yield* kafka.truncate("numbers", 0, 0)
        yield* kafka.pause()
        yield* subject.pass(100)
        yield* subject.close
        yield* subject.close
      })
    )
  )

  it.effect("row 49: closed while a codec waits for its surroundings", () =>
    onCluster(
      Effect.gen(function* () {
        yield* withTopic()
        const topic = numbersDecodedBy(() => Effect.never)
        const subject = yield* observe(topic, { decoding: numberDecoding })
        yield* write("numbers", ["a"])
        yield* subject.pass(5000)
        yield* subject.close
      })
    )
  )

  it.effect("row 50: two tables on one topic are two readers, and what fails one leaves the other", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        yield* write("numbers", keys(10))
        const strict = yield* observeNumbers({ isAlone: false, table: { onDecodeError: "fail" } })
        const lenient = yield* observeNumbers()
        yield* kafka.append("numbers", [{ key: "k1", value: "poison" }])
        yield* strict.become("Failed", 10_000)
        yield* strict.verifyFailed("DecodeError")
        yield* write("numbers", ["more"])
        yield* lenient.verify()
      })
    )
  )

  it.effect("row 50: two hundred tables live, are cut off, come back and close together", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* memory
        const topics = keys(200, "topic-").map((name) =>
          TableTopic.make({ name, key: Schema.String, value: Schema.Int })
        )
        for (const { name } of topics) {
          yield* kafka.createTopic(name)
          yield* kafka.append(name, [{ key: "a", value: "1" }])
        }
        const scope = yield* Scope.make()
        const client = yield* KafkaClient.KafkaClient
        const tables = yield* within(
          "building them",
          10_000,
          Effect.forEach(topics, (topic) => KafkaTable.make(topic, { ensureTopic: false }), { concurrency: 20 }).pipe(
            Scope.provide(scope),
            Effect.provide(Layer.succeed(KafkaClient.KafkaClient, client))
          )
        )
        yield* kafka.disconnect()
        yield* pass(3000, Effect.void, 500)
        // One of them loses its log meanwhile.
        yield* kafka.truncate("topic-7", 0, 0)
        yield* kafka.deleteTopic("topic-8")
        yield* kafka.reconnect()
        for (const { name } of topics) {
          if (name !== "topic-8") yield* kafka.append(name, [{ key: "b", value: "2" }])
        }
        yield* pass(10_000, Effect.void, 500)
        for (const [i, table] of tables.entries()) {
          const { _tag } = yield* table.status
          assert.strictEqual(_tag, i === 8 ? "Failed" : "CaughtUp", table.topic)
          assert.deepStrictEqual([...table.view.keys()].sort(), i === 8 ? ["a"] : i === 7 ? ["b"] : ["a", "b"])
        }
        yield* within("closing them", 2000, Scope.close(scope, Exit.void))
        assert.strictEqual(yield* kafka.held, 0)
        const { all } = yield* requestsWhile(pass(120_000, Effect.void, 10_000))
        assert.strictEqual(all, 0)
      })
    )
  )
})
