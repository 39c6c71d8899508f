/** Where the bytes of checkpoints lie: what a store of them does, and how it fails. */
import type { Effect, Scope } from "effect"
import * as Schema from "effect/Schema"
import { TaggedError } from "../taggedError.ts"

/**
 * A store of checkpoints could not do what it was asked for. A table goes on without: its checkpoint stays as it was, or is
 * not used.
 *
 * @category errors
 * @since 0.1.0
 */
export class CheckpointError extends TaggedError<CheckpointError>()("CheckpointError", {
  /** As the store was asked for it. */
  checkpoint: Schema.String,
  operation: Schema.Literals(["open", "claim", "read", "write", "replace", "remove"]),
  /** What went wrong and, where a person can do something, what. */
  detail: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return `checkpoint ${this.checkpoint}: ${this.operation}: ${this.detail}`
  }
}

/**
 * Bytes that are to take the place of a checkpoint's.
 *
 * @category models
 * @since 0.1.0
 */
export interface Replacement {
  /** As that of the checkpoint. */
  readonly write: (at: number, bytes: ReadonlyArray<Uint8Array>) => Effect.Effect<void, CheckpointError>
  /**
   * Puts them in the place of the checkpoint's, which is then these or those before, whole, whatever happens meanwhile.
   * Afterwards the checkpoint's own methods are about these.
   */
  readonly commit: Effect.Effect<void, CheckpointError>
}

/**
 * The bytes of one checkpoint, and the right to write them. One fiber calls its methods, one at a time, but for `read`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Checkpoint {
  /**
   * Takes the right to write for as long as the scope is open in which the checkpoint was opened. Hands back why it is not to
   * be had, in words that fit behind "it is not written, since"; undefined once it is. It may take its time to see whether
   * whoever has the right is alive.
   */
  readonly claim: Effect.Effect<string | undefined, CheckpointError>
  /** In bytes; 0 where there is none. */
  readonly size: Effect.Effect<number, CheckpointError>
  /** Fills `into` with the bytes from `at` on, and hands back how many there were. Needs no right. */
  readonly read: (at: number, into: Uint8Array) => Effect.Effect<number, CheckpointError>
  /**
   * Cuts the checkpoint off at `at` and appends. It has succeeded once the bytes outlive the machine's sudden end, and fails
   * where the right to write is lost, or what was written before. Keeps no `bytes`: their memory is filled again.
   */
  readonly write: (at: number, bytes: ReadonlyArray<Uint8Array>) => Effect.Effect<void, CheckpointError>
  /** Begins to write it from scratch beside what is there. What is not committed while the scope is open is dropped. */
  readonly replacement: Effect.Effect<Replacement, CheckpointError, Scope.Scope>
  /** Removes what is there. It may be written again. */
  readonly remove: Effect.Effect<void, CheckpointError>
}

/**
 * The shape of the `CheckpointStore` service.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /** Opens the checkpoint of a name, whether there is one or not. Creates nothing. */
  readonly open: (name: string) => Effect.Effect<Checkpoint, CheckpointError, Scope.Scope>
}
