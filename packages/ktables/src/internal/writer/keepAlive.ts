/** An entry that is written again and again for as long as a scope is open, and deleted when it closes. */
import { Cause, Clock, Effect, Fiber, Option, type Scope } from "effect"
import type { WriteError } from "../../TableError.ts"
import type { WriteAck } from "../../WriteAck.ts"
import { printed } from "../defects.ts"
import { monotonicMillis } from "../moment.ts"

export interface KeepAlive {
  readonly ack: WriteAck
  readonly failure: Effect.Effect<never, WriteError>
}

/** What the next write may not find again: brokers that are away, are busy, or refuse credentials that may be renewed. */
const passes = ({ _tag }: WriteError): boolean =>
  _tag === "WriteTimeout" ||
  _tag === "WriteOutcomeUnknown" ||
  _tag === "AuthenticationRefused" ||
  _tag === "ClusterRefused"

export const make = Effect.fnUntraced(function* (options: {
  readonly topic: string
  readonly set: Effect.Effect<WriteAck, WriteError>
  readonly remove: Effect.Effect<WriteAck, WriteError>
  /** Milliseconds. */
  readonly every: number
  /** Milliseconds. */
  readonly closeTimeout: number
}): Effect.fn.Return<KeepAlive, WriteError, Scope.Scope> {
  const { closeTimeout, every, remove, set, topic } = options
  const clock = yield* Clock.Clock
  /** Whether there may be something to delete. */
  let mayBeWritten = false

  const withdraw = Effect.gen(function* () {
    if (!mayBeWritten) return
    // In a fiber of its own: the one that closes may have been interrupted, and this may not be skipped then.
    const removal = yield* Effect.forkDetach(
      Effect.interruptible(Effect.timeoutOption(Effect.result(remove), closeTimeout))
    )
    const removed = yield* Effect.orDie(Fiber.join(removal))
    const because = Option.match(removed, {
      onNone: () => `no acknowledgement within ${closeTimeout} ms`,
      onSome: (result) => (result._tag === "Failure" ? result.failure.message : undefined)
    })
    if (because !== undefined) {
      yield* Effect.logWarning(
        `${topic}: what was kept alive may stay until it expires, its deletion failed: ${because}`
      )
    }
  })
  // Registered before the first write, and so run once the fiber that writes has ended.
  yield* Effect.addFinalizer(() => withdraw)

  /** When the last write began, by the monotonic clock. */
  let began = monotonicMillis(clock)
  mayBeWritten = true
  const ack = yield* Effect.tapError(set, (error) =>
    Effect.sync(() => {
      mayBeWritten = error._tag === "WriteOutcomeUnknown"
    })
  )

  let isFailing = false
  const beat = set.pipe(
    Effect.flatMap(() => {
      if (!isFailing) return Effect.void
      isFailing = false
      return Effect.logInfo(`${topic}: what is kept alive is written again`)
    }),
    Effect.catch((error) => {
      if (!passes(error)) return Effect.fail(error)
      if (isFailing) return Effect.void
      isFailing = true
      return Effect.logWarning(`${topic}: what is kept alive was not written, and is tried again: ${error.message}`)
    })
  )
  /** After the start of the one before, or at once where that took longer. */
  const next = Effect.suspend(() => Effect.sleep(Math.max(0, Math.ceil(began + every - monotonicMillis(clock))))).pipe(
    Effect.andThen(
      Effect.suspend(() => {
        began = monotonicMillis(clock)
        return beat
      })
    )
  )
  const fiber = yield* Effect.forever(next).pipe(
    Effect.tapCause((cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Effect.void
        : Effect.logError(
            `${topic}: what was kept alive is written no more, and will expire: ${printed(Cause.squash(cause))}`
          )
    ),
    Effect.forkScoped
  )
  return { ack, failure: Fiber.join(fiber) }
})
