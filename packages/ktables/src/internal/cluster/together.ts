/**
 * What many ask for at the same moment, each by a name, is asked for together: the descriptions of a client's topics fall due at
 * the same times, and are one request for a hundred of them. The first to ask does not wait for others to come.
 */
import { Deferred, Effect, Exit, type Scope } from "effect"
import { ConnectionFailed, type KafkaError } from "../../KafkaError.ts"

/** Names in a request: their answers are decoded in one go. */
const MOST = 100
/** Askers that are answered in one go. */
const ANSWERED_AT_ONCE = 32

type Asking<A> = ReadonlyMap<string, Deferred.Deferred<A, KafkaError>>

/**
 * @param request its name, for errors
 * @param askAll answers in the order of the names, each of which is there once
 */
export const makeTogether = <A>(
  scope: Scope.Scope,
  request: string,
  askAll: (names: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<A>, KafkaError>
): ((name: string) => Effect.Effect<A, KafkaError>) => {
  /** Who asks in the turn of the event loop in which somebody has asked alone; undefined in any other. */
  let waiting: Map<string, Deferred.Deferred<A, KafkaError>> | undefined

  const ask = (names: ReadonlyArray<string>, asking: Asking<A>): Effect.Effect<void> =>
    Effect.flatMap(
      Effect.exit(askAll(names)),
      Effect.fnUntraced(function* (exit) {
        const error = Exit.findErrorOption(exit)
        // Whose answer it is that cannot be read is found out by asking for each alone.
        if (names.length > 1 && error._tag === "Some" && error.value._tag === "MalformedAnswer") {
          return yield* Effect.forEach(names, (name) => ask([name], asking), { discard: true })
        }
        for (const [i, name] of names.entries()) {
          Deferred.doneUnsafe(
            asking.get(name)!,
            Exit.map(exit, (answers) => answers[i]!)
          )
          if ((i + 1) % ANSWERED_AT_ONCE === 0) yield* Effect.yieldNow
        }
      })
    )

  const leave = (asking: Asking<A>) =>
    Effect.gen(function* () {
      yield* Effect.yieldNow
      waiting = undefined
      const names = [...asking.keys()]
      const requests: Array<ReadonlyArray<string>> = []
      while (names.length > 0) requests.push(names.splice(0, MOST))
      yield* Effect.forEach(requests, (some) => ask(some, asking), { concurrency: "unbounded", discard: true })
    }).pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          if (Exit.isSuccess(exit)) return
          if (waiting === asking) waiting = undefined
          const closed = new ConnectionFailed({ broker: "any broker", request, detail: "the client is closed" })
          for (const deferred of asking.values()) Deferred.doneUnsafe(deferred, Exit.fail(closed))
        })
      )
    )

  // Whoever is interrupted before it has made somebody leave would leave others waiting.
  return (name) =>
    Effect.uninterruptibleMask((restore) => {
      if (waiting !== undefined) {
        let asked = waiting.get(name)
        if (asked === undefined) waiting.set(name, (asked = Deferred.makeUnsafe()))
        return restore(Deferred.await(asked))
      }
      const alone = restore(Effect.map(askAll([name]), ([answer]) => answer!))
      if (scope.state._tag === "Closed") return alone
      waiting = new Map()
      return Effect.andThen(Effect.forkIn(leave(waiting), scope, { startImmediately: true }), alone)
    })
}
