/**
 * A place for one shared connection: opened by the first who needs it, shared by all who ask meanwhile, opened again by the
 * next one after it is lost.
 */
import { Deferred, Effect, Exit, Scope } from "effect"
import { ConnectionFailed, type KafkaError } from "../../KafkaError.ts"
import type { BrokerConnection } from "./brokerConnection.ts"

/** The open connection, or the outcome of the one attempt to open it. */
export type ConnectionSlot = Effect.Effect<BrokerConnection, KafkaError>

/**
 * Attempts run in `scope`, not in the fiber of whoever asked first: interrupting an asker takes nothing from the others.
 * A connection for which `isCurrent` is false is closed and replaced.
 */
export const makeConnectionSlot = (
  scope: Scope.Scope,
  name: string,
  open: Effect.Effect<BrokerConnection, KafkaError, Scope.Scope>,
  isCurrent: (connection: BrokerConnection) => boolean = (connection) => connection.isOpen()
): ConnectionSlot => {
  let current: BrokerConnection | undefined
  let attempt: Deferred.Deferred<BrokerConnection, KafkaError> | undefined

  const closed = () => new ConnectionFailed({ broker: name, request: "connect", detail: "the client is closed" })

  const start = Effect.uninterruptibleMask((restore) =>
    Effect.suspend(() => {
      const deferred = Deferred.makeUnsafe<BrokerConnection, KafkaError>()
      attempt = deferred
      const opening = Scope.provide(open, scope).pipe(
        Effect.onExit((exit) =>
          Effect.sync(() => {
            attempt = undefined
            if (Exit.isSuccess(exit)) current = exit.value
            Deferred.doneUnsafe(deferred, Exit.hasInterrupts(exit) ? Exit.fail(closed()) : exit)
          })
        ),
        Effect.exit
      )
      return Effect.andThen(
        Effect.forkIn(opening, scope, { startImmediately: true }),
        restore(Deferred.await(deferred))
      )
    })
  )

  const get: ConnectionSlot = Effect.suspend(() => {
    if (scope.state._tag === "Closed") return Effect.fail(closed())
    if (current !== undefined) {
      if (isCurrent(current)) return Effect.succeed(current)
      const stale = current
      current = undefined
      return Effect.andThen(stale.close, get)
    }
    return attempt === undefined ? start : Deferred.await(attempt)
  })

  return get
}
