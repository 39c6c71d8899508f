/** The session that reads a table's log now, and the waits for it to begin and to end. */
import { Deferred, Effect } from "effect"
import type { WaitEnd } from "../log/ackWaits.ts"
import type { Partition } from "../log/partition.ts"
import type { Session } from "../log/session.ts"

const noPartitions: ReadonlyMap<number, Partition> = new Map()

export class CurrentSession {
  #session: Session | undefined
  #begun = Deferred.makeUnsafe<Session, WaitEnd>()
  #over = Deferred.makeUnsafe<void>()

  /** Undefined between two sessions. */
  get session(): Session | undefined {
    return this.#session
  }
  /** Those that are read. */
  get partitions(): ReadonlyMap<number, Partition> {
    return this.#session?.partitions ?? noPartitions
  }
  progress(): { readonly replayed: number; readonly target: number } {
    return this.#session?.progress() ?? { replayed: 0, target: 0 }
  }

  /** Waits for a session; fails where none will come. */
  readonly begun: Effect.Effect<Session, WaitEnd> = Effect.suspend(() => Deferred.await(this.#begun))
  /** Waits for the end of the session that there is when this is read. */
  get over(): Effect.Effect<void> {
    return Deferred.await(this.#over)
  }

  begin(session: Session): void {
    this.#session = session
    Deferred.doneUnsafe(this.#begun, Effect.succeed(session))
  }

  /** Whoever waits for its end is resumed, and may wait for the next. */
  end(): void {
    this.#session = undefined
    this.#begun = Deferred.makeUnsafe()
    const over = this.#over
    this.#over = Deferred.makeUnsafe()
    Deferred.doneUnsafe(over, Effect.void)
  }

  /** None will come. */
  fail(error: WaitEnd): void {
    Deferred.doneUnsafe(this.#begun, Effect.fail(error))
    Deferred.doneUnsafe(this.#over, Effect.void)
  }

  /** One may come again. */
  reopen(): void {
    this.#begun = Deferred.makeUnsafe()
    this.#over = Deferred.makeUnsafe()
  }
}
