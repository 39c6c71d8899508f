/** A store of which a start waits for no answer longer than it is worth. */
import { Effect } from "effect"
import { type Checkpoint, CheckpointError, type Service } from "./store.ts"

/** Milliseconds for which a question is waited for: what is read at once takes a slow disk a part of a second. */
const PATIENCE = 10_000

/** What is asked while a table starts fails where it is not answered; writing, for which nobody waits, takes what it takes. */
export const answering = (store: Service): Service => ({
  open: (name) => {
    const inTime = <A, R>(operation: CheckpointError["operation"], asked: Effect.Effect<A, CheckpointError, R>) =>
      Effect.timeoutOrElse(asked, {
        duration: PATIENCE,
        orElse: () =>
          Effect.fail(
            new CheckpointError({
              checkpoint: name,
              operation,
              detail: `the store did not answer within ${PATIENCE / 1000} seconds`
            })
          )
      })
    return Effect.map(inTime("open", store.open(name)), (checkpoint): Checkpoint => ({
      claim: checkpoint.claim,
      size: inTime("read", checkpoint.size),
      read: (at, into) => inTime("read", checkpoint.read(at, into)),
      write: (at, bytes) => checkpoint.write(at, bytes),
      replacement: checkpoint.replacement,
      remove: checkpoint.remove
    }))
  }
})
