import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scope } from "effect"
import { ConnectionFailed, type KafkaError } from "effect-ktables/KafkaError"
import type { BrokerConnection } from "../../src/internal/cluster/brokerConnection.ts"
import { makeConnectionSlot } from "../../src/internal/cluster/connectionSlot.ts"

interface FakeConnection extends BrokerConnection {
  lost: boolean
  closed: boolean
}

const fakeConnection = (): FakeConnection => {
  const connection: FakeConnection = {
    broker: "a:1",
    lost: false,
    closed: false,
    isOpen: () => !connection.lost,
    close: Effect.sync(() => {
      connection.closed = true
    }),
    versionOf: () => Effect.die("not asked"),
    call: () => Effect.die("not asked"),
    tell: () => Effect.die("not asked")
  }
  return connection
}

/** A slot whose attempts end when the test says how. */
const setUp = Effect.gen(function* () {
  const scope = yield* Scope.make()
  const attempts: Array<Deferred.Deferred<BrokerConnection, KafkaError>> = []
  const released: Array<BrokerConnection> = []
  const open = Effect.acquireRelease(
    Effect.suspend(() => {
      const attempt = Deferred.makeUnsafe<BrokerConnection, KafkaError>()
      attempts.push(attempt)
      return Deferred.await(attempt)
    }),
    (connection) => Effect.sync(() => released.push(connection)),
    { interruptible: true }
  )
  return { scope, attempts, released, slot: makeConnectionSlot(scope, "a:1", open) }
})

const refused = new ConnectionFailed({ broker: "a:1", request: "connect", detail: "refused" })

describe("a connection slot", () => {
  it.effect("serves all who ask meanwhile by one attempt, and later ones by the connection", () =>
    Effect.gen(function* () {
      const { attempts, slot } = yield* setUp
      const askers = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(slot, { startImmediately: true }))
      assert.strictEqual(attempts.length, 1)
      const connection = fakeConnection()
      yield* Deferred.succeed(attempts[0]!, connection)
      for (const asker of askers) assert.strictEqual(yield* Fiber.join(asker), connection)
      assert.strictEqual(yield* slot, connection)
      assert.strictEqual(attempts.length, 1)
    })
  )

  it.effect("keeps the attempt alive when the one who started it is interrupted", () =>
    Effect.gen(function* () {
      const { attempts, slot } = yield* setUp
      const first = yield* Effect.forkChild(slot, { startImmediately: true })
      const second = yield* Effect.forkChild(slot, { startImmediately: true })
      yield* Fiber.interrupt(first)
      const connection = fakeConnection()
      yield* Deferred.succeed(attempts[0]!, connection)
      assert.strictEqual(yield* Fiber.join(second), connection)
      assert.strictEqual(yield* slot, connection)
      assert.strictEqual(attempts.length, 1)
    })
  )

  it.effect("tells a failure to all who waited for it, and tries again for the next", () =>
    Effect.gen(function* () {
      const { attempts, slot } = yield* setUp
      const askers = yield* Effect.forEach([1, 2], () => Effect.forkChild(slot, { startImmediately: true }))
      yield* Deferred.fail(attempts[0]!, refused)
      for (const asker of askers) assert.strictEqual(yield* Effect.flip(Fiber.join(asker)), refused)
      const next = yield* Effect.forkChild(slot, { startImmediately: true })
      assert.strictEqual(attempts.length, 2)
      const connection = fakeConnection()
      yield* Deferred.succeed(attempts[1]!, connection)
      assert.strictEqual(yield* Fiber.join(next), connection)
    })
  )

  it.effect("closes a lost connection and opens another, once for all", () =>
    Effect.gen(function* () {
      const { attempts, slot } = yield* setUp
      const connection = fakeConnection()
      const first = yield* Effect.forkChild(slot, { startImmediately: true })
      yield* Deferred.succeed(attempts[0]!, connection)
      yield* Fiber.join(first)
      connection.lost = true
      const askers = yield* Effect.forEach([1, 2], () => Effect.forkChild(slot, { startImmediately: true }))
      assert.isTrue(connection.closed)
      assert.strictEqual(attempts.length, 2)
      const another = fakeConnection()
      yield* Deferred.succeed(attempts[1]!, another)
      for (const asker of askers) assert.strictEqual(yield* Fiber.join(asker), another)
    })
  )

  it.effect("ends with its scope: who waits is told, the attempt is interrupted, nobody can ask anymore", () =>
    Effect.gen(function* () {
      const { attempts, scope, slot } = yield* setUp
      const asker = yield* Effect.forkChild(slot, { startImmediately: true })
      assert.strictEqual(attempts.length, 1)
      yield* Scope.close(scope, Exit.void)
      const error = yield* Effect.flip(Fiber.join(asker))
      assert.strictEqual(error.message, "connect on a:1: the client is closed")
      assert.strictEqual((yield* Effect.flip(slot)).message, "connect on a:1: the client is closed")
      assert.strictEqual(attempts.length, 1)
    })
  )

  it.effect("releases its connection with its scope", () =>
    Effect.gen(function* () {
      const { attempts, released, scope, slot } = yield* setUp
      const asker = yield* Effect.forkChild(slot, { startImmediately: true })
      const connection = fakeConnection()
      yield* Deferred.succeed(attempts[0]!, connection)
      yield* Fiber.join(asker)
      assert.deepStrictEqual(released, [])
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(released, [connection])
    })
  )
})
