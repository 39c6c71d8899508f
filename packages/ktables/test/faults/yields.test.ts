/** Waits of callers that have to yield to other fibers between any two of their steps, while what they wait for happens. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Scheduler } from "effect"
import type { KafkaTable, WriteAck } from "effect-ktables"
import { write } from "../support/kafka.ts"
import { onScript } from "../support/script.ts"
import { OffsetWaiters } from "../../src/internal/log/offsetWaiters.ts"
import { Outdone } from "../../src/internal/log/outdone.ts"
import { within } from "../support/time.ts"
import { YieldOnce } from "../support/yieldOnce.ts"
import { ackAt, scriptedTable } from "./fixtures.ts"

/** Has `wait` begin after a record was written and before it is read, and yield until it was read, once before each step. */
const yieldingAnywhere = (
  wait: (table: KafkaTable.KafkaTable<string, number>, ack: WriteAck.WriteAck) => Effect.Effect<unknown, unknown>
) =>
  onScript(
    Effect.gen(function* () {
      const { script, subject } = yield* scriptedTable()
      script.on("fetch", (_asks, next) => Effect.tap(next, Effect.sleep(200)))
      yield* subject.pass(10_000)
      let step = 1
      for (let isOver = false; !isOver; step++) {
        yield* write("numbers", [`x${step}`])
        const scheduler = new YieldOnce(step)
        const waiting = yield* wait(subject.table, {
          ...ackAt(9 + step),
          timestamp: yield* Clock.currentTimeMillis
        }).pipe(Effect.provideService(Scheduler.Scheduler, scheduler), Effect.forkScoped({ startImmediately: true }))
        yield* subject.pass(1000)
        assert.isTrue(subject.contents().has(`x${step}`))
        isOver = !scheduler.hasYielded
        scheduler.release()
        yield* subject.within(`the end of a wait that yielded before step ${step}`, 10_000, Fiber.join(waiting))
      }
      assert.isAbove(step, 7)
      yield* subject.verify()
    })
  )

describe("a wait that yields before any of its steps", () => {
  it.effect("ends where its record was read meanwhile", () => yieldingAnywhere((table, ack) => table.awaitOffset(ack)))

  it.effect("ends where everything up to its barrier was read meanwhile", () =>
    yieldingAnywhere((table) => table.barrier())
  )
})

describe("who waits for a wait to begin", () => {
  it.effect("learns of one that begins before any of its steps", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      let step = 1
      for (let isOver = false; !isOver; step++) {
        const waiters = new OffsetWaiters(new Outdone(), clock)
        const scheduler = new YieldOnce(step)
        const watching = yield* waiters.someone.pipe(
          Effect.provideService(Scheduler.Scheduler, scheduler),
          Effect.forkScoped({ startImmediately: true })
        )
        yield* Effect.forkScoped(waiters.awaitPositions(new Map([[0, 1]]), waiters.round, new Map()), {
          startImmediately: true
        })
        isOver = !scheduler.hasYielded
        scheduler.release()
        yield* within(`the end of one that yielded before step ${step}`, 1000, Fiber.join(watching))
      }
      assert.isAbove(step, 2)
    })
  )
})
