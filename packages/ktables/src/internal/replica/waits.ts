/** What a table's callers wait for: their own writes (`awaitOffset`), and all that was written before (`barrier`). */
import { type Clock, Effect, Exit } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import { BarrierTimeout, NotAwaitable, type WriteSuperseded } from "../../TableError.ts"
import type { WriteAck } from "../../WriteAck.ts"
import type { WaitEnd } from "../log/ackWaits.ts"
import type { OffsetWaiters } from "../log/offsetWaiters.ts"
import { isRead, type Range } from "../log/range.ts"
import type { PlacedAck } from "../log/recentBatches.ts"
import { monotonicMillis } from "../moment.ts"
import { backoff } from "../backoff.ts"
import type { CurrentSession } from "./currentSession.ts"

/** Milliseconds after which a wait asks brokers whether what it waits for can still come. */
const SUSPICION = 1000

export interface Waits {
  readonly awaitOffset: (ack: WriteAck) => Effect.Effect<void, WaitEnd | NotAwaitable | WriteSuperseded>
  /** @param timeout milliseconds; undefined for ever */
  readonly barrier: (timeout: number | undefined) => Effect.Effect<void, WaitEnd | BarrierTimeout>
  /** Asks brokers about what has been waited for too long, as long as it runs. */
  readonly watch: Effect.Effect<never>
}

/** What a barrier waits for; undefined until the brokers have answered. */
interface Barrier {
  targets: ReadonlyMap<number, number> | undefined
}

export const make = (options: {
  readonly topic: string
  readonly isolation: KafkaClient.Isolation
  readonly range: Range
  readonly clock: Clock.Clock
  readonly current: CurrentSession
  readonly waiters: OffsetWaiters
  /** Why no session will come; undefined while one may. */
  readonly failure: () => WaitEnd | undefined
}): Waits => {
  const { clock, current, failure, isolation, range, topic, waiters } = options

  /** Once for all that wait: a wait is to cost no fiber of its own. */
  const watch: Effect.Effect<void> = Effect.suspend(() => {
    const { session } = current
    const suspicious = monotonicMillis(clock) - SUSPICION
    const { ackAwaitedSince, positionsAwaitedSince } = waiters
    const oldest = Math.min(ackAwaitedSince, positionsAwaitedSince)
    if (oldest === Number.POSITIVE_INFINITY) return waiters.someone
    if (oldest > suspicious) return Effect.sleep(oldest - suspicious)
    if (session === undefined) return Effect.sleep(SUSPICION)
    const questions: Array<Effect.Effect<void>> = []
    if (ackAwaitedSince <= suspicious) questions.push(session.verifyAwaited)
    // Whether an open transaction is in the way shows in the ends, which a long poll may keep to itself for long.
    if (positionsAwaitedSince <= suspicious && isolation === "read_committed") {
      questions.push(session.lookAhead(waiters.awaitedPositions))
    }
    return Effect.forEach(questions, (ask) => Effect.forkChild(ask), { discard: true }).pipe(
      Effect.andThen(Effect.sleep(SUSPICION))
    )
  })

  const partitionsNow = () => current.partitions

  const awaitRecord = (ack: PlacedAck, attempt: number): Effect.Effect<void, WaitEnd | WriteSuperseded> =>
    Effect.suspend(() => {
      const found = waiters.look(ack, partitionsNow()) ?? waiters.awaitAck(ack, partitionsNow)
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
      const { round } = waiters
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
      return (yield* waiters.awaitPositions(ends.value, round, session.partitions)) === "reached"
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
      if (!isRead(range, ack.partition)) {
        const detail = `this table does not read partition ${ack.partition}, which the acknowledgement is of`
        return Effect.fail(new NotAwaitable({ topic, detail }))
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
      }),
    watch: Effect.forever(watch)
  }
}
