/** What a table's callers wait for: their own writes (`awaitOffset`), and all that was written before (`barrier`). */
import { type Clock, Effect, Exit } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import { BarrierTimeout, NotAwaitable, type WriteSuperseded } from "../../TableError.ts"
import type { WriteAck } from "../../WriteAck.ts"
import type { WaitEnd } from "../log/ackWaits.ts"
import type { OffsetWaiters } from "../log/offsetWaiters.ts"
import type { PlacedAck } from "../log/recentBatches.ts"
import type { Session } from "../log/session.ts"
import { monotonicMillis } from "../moment.ts"
import { backoff } from "../backoff.ts"
import type { CurrentSession } from "./currentSession.ts"

/** Milliseconds after which a wait asks brokers whether what it waits for can still come. */
const SUSPICION = 1000

export interface Waits {
  readonly awaitOffset: (ack: WriteAck) => Effect.Effect<void, WaitEnd | NotAwaitable | WriteSuperseded>
  /** @param timeout milliseconds; undefined for ever */
  readonly barrier: (timeout: number | undefined) => Effect.Effect<void, WaitEnd | BarrierTimeout>
}

/** What a barrier waits for; undefined until the brokers have answered. */
interface Barrier {
  targets: ReadonlyMap<number, number> | undefined
}

export const make = (options: {
  readonly topic: string
  readonly isolation: KafkaClient.Isolation
  readonly clock: Clock.Clock
  readonly current: CurrentSession
  readonly waiters: OffsetWaiters
  /** Why no session will come; undefined while one may. */
  readonly failure: () => WaitEnd | undefined
}): Waits => {
  const { clock, current, failure, isolation, topic, waiters } = options

  /** Asks again and again while there is a wait, and once for all that wait. */
  const asking = (): ((ask: (session: Session) => Effect.Effect<void>) => Effect.Effect<never>) => {
    let askedAt = Number.NEGATIVE_INFINITY
    return (ask) =>
      Effect.forever(
        Effect.andThen(
          Effect.sleep(SUSPICION),
          Effect.suspend(() => {
            const now = monotonicMillis(clock)
            if (current.session === undefined || now - askedAt < SUSPICION) return Effect.void
            askedAt = now
            return ask(current.session)
          })
        )
      )
  }
  const suspicion = asking()((session) => session.verifyAwaited)
  const lookingAhead = asking()

  const awaitRecord = (ack: PlacedAck, attempt: number): Effect.Effect<void, WaitEnd | WriteSuperseded> =>
    Effect.suspend(() => {
      const { partitions } = current
      const found = waiters.look(ack, partitions) ?? Effect.raceFirst(waiters.awaitAck(ack, partitions), suspicion)
      return Effect.flatMap(found, (found) => (found === "applied" ? Effect.void : lookUp(ack, attempt)))
    })

  /** The record was passed, and nobody remembers whose it was. */
  const lookUp = (ack: PlacedAck, attempt: number): Effect.Effect<void, WaitEnd | WriteSuperseded> =>
    Effect.suspend(() => {
      const { over, session } = current
      const isThere =
        session === undefined ? Effect.undefined : Effect.raceFirst(session.lookUp(ack), Effect.as(over, undefined))
      return Effect.flatMap(isThere, (isThere) =>
        isThere === true
          ? Effect.asVoid(waiters.applied(ack))
          : Effect.andThen(
              backoff(attempt),
              Effect.suspend(() => awaitRecord(ack, attempt + 1))
            )
      )
    })

  /** False where the log turned out to be another, so that targets have to be taken again. */
  const isReached = (barrier: Barrier): Effect.Effect<boolean, WaitEnd> =>
    Effect.gen(function* () {
      const session = yield* current.begun
      const { over } = current
      const ends = yield* Effect.exit(session.endOffsets)
      if (current.session !== session) return false
      if (Exit.isFailure(ends)) {
        // The session ends under the question: its successor is asked, or the reader's failure is the answer.
        const error = failure()
        if (error !== undefined) return yield* error
        yield* over
        return false
      }
      barrier.targets = ends.value
      const reached = waiters.awaitPositions(ends.value, session.partitions)
      // Whether an open transaction is in the way shows in the ends, which a long poll may keep to itself for long.
      const outcome =
        isolation === "read_uncommitted"
          ? reached
          : Effect.raceFirst(
              reached,
              lookingAhead((session) => session.lookAhead(ends.value))
            )
      return (yield* outcome) === "reached"
    })

  const untilReached = (barrier: Barrier): Effect.Effect<void, WaitEnd> =>
    Effect.flatMap(isReached(barrier), (isReached) => (isReached ? Effect.void : untilReached(barrier)))

  const missing = ({ targets }: Barrier): BarrierTimeout["waitingFor"] => {
    const { partitions } = current
    const wanted =
      targets ?? [...partitions].map(([number, partition]) => [number, Math.max(0, partition.highWatermark)] as const)
    return [...wanted].flatMap(([number, target]) => {
      const partition = partitions.get(number)
      const position = partition?.readTo ?? 0
      const isAway = partition === undefined || partition.disconnectedSince !== undefined || partition.leader < 0
      if (position >= target && !(isAway && targets === undefined)) return []
      const reason = isAway
        ? ("disconnected" as const)
        : isolation === "read_committed" && partition.isHeldBack
          ? ("open transaction" as const)
          : ("behind" as const)
      return [{ partition: number, reason, position, target }]
    })
  }

  return {
    awaitOffset: (ack) => {
      const { offset } = ack
      if (ack.topic !== topic) {
        return Effect.fail(new NotAwaitable({ topic, detail: `the acknowledgement is of topic ${ack.topic}` }))
      }
      return offset === undefined
        ? Effect.fail(
            new NotAwaitable({ topic, detail: "the acknowledgement has no offset; write with acks all or leader" })
          )
        : awaitRecord({ ...ack, offset }, 1)
    },
    barrier: (timeout) =>
      Effect.suspend(() => {
        const barrier: Barrier = { targets: undefined }
        return timeout === undefined
          ? untilReached(barrier)
          : Effect.timeoutOrElse(untilReached(barrier), {
              duration: timeout,
              orElse: () => Effect.fail(new BarrierTimeout({ topic, waited: timeout, waitingFor: missing(barrier) }))
            })
      })
  }
}
