/** What a table's status is while its waits end, and what it costs to follow it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Latch, Layer, ManagedRuntime, Scope, Stream } from "effect"
import { KafkaTable, type TableError, type TableStatus } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { ackAt, scriptedTopic, writeBatches } from "../faults/fixtures.ts"
import { onScript } from "../support/script.ts"
import { failureOf } from "../support/subject.ts"
import { pass, settle, until } from "../support/time.ts"
import { keys, write } from "../support/kafka.ts"
import { numbers, onMemory } from "./fixtures.ts"

/** Everything that waits on a table, each with its error and the status that it finds when it ends. */
const waitsOn = (table: KafkaTable.KafkaTable<string, number>) => {
  const waits: Record<string, Effect.Effect<void, TableError.AwaitOffsetError | TableError.BarrierError>> = {
    awaitOffset: table.awaitOffset(ackAt(10)),
    barrier: table.barrier(),
    failure: table.failure,
    changes: Stream.runDrain(table.changes),
    states: Stream.runDrain(table.states),
    watch: Stream.runDrain(table.watch("k0"))
  }
  return Effect.forEach(Object.entries(waits), ([name, wait]) =>
    Effect.forkScoped(
      Effect.exit(wait).pipe(
        Effect.flatMap((exit) => Effect.map(table.status, ({ _tag }) => `${name} ${exit._tag}: ${_tag}`))
      ),
      { startImmediately: true }
    )
  )
}

class Table extends KafkaTable.Service<Table>()("test/Table", numbers) {}

describe("status", () => {
  it.effect("is Failed before anything that waits learns of the failure", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("numbers")
        yield* write("numbers", keys(10))
        const table = yield* KafkaTable.make(numbers)
        const transaction = yield* kafka.beginTransaction()
        yield* transaction.append("numbers", [{ key: "open", value: "1" }])
        const waiting = yield* waitsOn(table)
        yield* settle
        yield* kafka.fail({ request: "fetch" }, ErrorCode.TOPIC_AUTHORIZATION_FAILED, { times: 10 })
        yield* pass(20_000)
        assert.deepStrictEqual(yield* Effect.forEach(waiting, Fiber.join), [
          "awaitOffset Failure: Failed",
          "barrier Failure: Failed",
          "failure Failure: Failed",
          "changes Failure: Failed",
          "states Failure: Failed",
          "watch Failure: Failed"
        ])
      })
    )
  )

  it.effect("is Closed before anything that waits learns of the end", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("numbers")
        yield* write("numbers", keys(10))
        const scope = yield* Scope.make()
        const table = yield* Scope.provide(KafkaTable.make(numbers), scope)
        const transaction = yield* kafka.beginTransaction()
        yield* transaction.append("numbers", [{ key: "open", value: "1" }])
        const waiting = yield* waitsOn(table)
        yield* settle
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(yield* Effect.forEach(waiting, Fiber.join), [
          "awaitOffset Failure: Closed",
          "barrier Failure: Closed",
          "failure Failure: Closed",
          "changes Success: Closed",
          "states Success: Closed",
          "watch Success: Closed"
        ])
        assert.strictEqual((yield* failureOf(table.failure))._tag, "TableClosed")
        assert.strictEqual((yield* failureOf(table.awaitCaughtUp))._tag, "TableClosed")
      })
    )
  )

  it.effect("costs a subscriber that is stuck no more than a few of the newest", () =>
    onScript(
      Effect.gen(function* () {
        const { script } = yield* scriptedTopic()
        yield* writeBatches(200, 1)
        // Answers come more slowly than progress is shown.
        script.on("fetch", (_, next) => Effect.delay(next, 150))
        const scope = yield* Scope.make()
        yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
        const table = yield* Scope.provide(
          KafkaTable.make(numbers, { catchUp: { mode: "background" }, fetch: { maxPartitionBytes: 1 } }),
          scope
        )
        const seen: Array<TableStatus.TableStatus["_tag"]> = []
        const released = Latch.makeUnsafe(false)
        yield* Stream.runForEach(table.statusChanges, ({ _tag }) =>
          Effect.as(released.await, void seen.push(_tag))
        ).pipe(Effect.forkScoped({ startImmediately: true }))
        let shown = 0
        yield* Stream.runForEach(table.statusChanges, () => Effect.sync(() => shown++)).pipe(
          Effect.forkScoped({ startImmediately: true })
        )
        yield* until(
          "caught up",
          600_000,
          Effect.map(table.status, ({ _tag }) => _tag === "CaughtUp")
        )
        yield* Scope.close(scope, Exit.void)
        yield* released.open
        yield* pass(1000)
        assert.isAbove(shown, 50)
        assert.isAtMost(seen.length, 5)
        assert.deepStrictEqual(seen.slice(-2), ["CaughtUp", "Closed"])
      })
    )
  )

  it("is Closed, and the failure is TableClosed, once a runtime was disposed", async () => {
    const runtime = ManagedRuntime.make(Layer.provide(Table.layer, Layer.fresh(MemoryKafka.layer)))
    const table = await runtime.runPromise(Table)
    const waiting = Effect.runPromise(failureOf(table.failure))
    await runtime.dispose()
    assert.strictEqual((await waiting)._tag, "TableClosed")
    assert.strictEqual((await Effect.runPromise(failureOf(table.failure)))._tag, "TableClosed")
    assert.strictEqual((await Effect.runPromise(table.status))._tag, "Closed")
  })
})
