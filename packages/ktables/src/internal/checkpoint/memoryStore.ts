/** Checkpoints as bytes of this process. */
import { Effect } from "effect"
import { type Checkpoint, CheckpointError, type Service } from "./store.ts"

/** Bytes with `more` from `at` on, in the memory of `bytes` where there is room behind them. */
const written = (bytes: Uint8Array, at: number, more: ReadonlyArray<Uint8Array>): Uint8Array => {
  const length = more.reduce((sum, part) => sum + part.length, at)
  const room = new Uint8Array(bytes.buffer, bytes.byteOffset)
  let to = room
  if (length > room.length) {
    to = new Uint8Array(Math.max(length, 2 * at))
    to.set(room.subarray(0, at))
  }
  let end = at
  for (const part of more) {
    to.set(part, end)
    end += part.length
  }
  return to.subarray(0, length)
}

/** @param files what is stored, by name. */
export const make = (files: Map<string, Uint8Array>): Service => {
  const owned = new Set<string>()
  const bytesOf = (name: string): Uint8Array => files.get(name) ?? new Uint8Array(0)
  return {
    open: (name) =>
      Effect.gen(function* () {
        let isOwned = false
        yield* Effect.addFinalizer(() => Effect.sync(() => isOwned && owned.delete(name)))
        const owning = <A>(run: () => A): Effect.Effect<A, CheckpointError> =>
          Effect.suspend(() =>
            isOwned
              ? Effect.sync(run)
              : Effect.fail(
                  new CheckpointError({
                    checkpoint: name,
                    operation: "claim",
                    detail: "the right to write it was not taken"
                  })
                )
          )
        return {
          claim: Effect.sync(() => {
            if (!isOwned && owned.has(name)) return "another table of this process writes it"
            owned.add(name)
            isOwned = true
            return undefined
          }),
          size: Effect.sync(() => bytesOf(name).length),
          read: (at, into) =>
            Effect.sync(() => {
              const part = bytesOf(name).subarray(at, at + into.length)
              into.set(part)
              return part.length
            }),
          write: (at, more) => owning(() => void files.set(name, written(bytesOf(name), at, more))),
          replacement: owning(() => {
            let next: Uint8Array = new Uint8Array(0)
            return {
              write: (at, more) => Effect.sync(() => void (next = written(next, at, more))),
              commit: owning(() => void files.set(name, next))
            }
          }),
          remove: owning(() => void files.delete(name))
        } satisfies Checkpoint
      })
  }
}
