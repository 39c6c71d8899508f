/**
 * One fetch loop per broker that serves some of a session's partitions: it asks, and asks on before what was answered is
 * read, leaves a broker alone that throttles, and cuts its long poll short for a partition that the poll does not ask for.
 */
import { Cause, Effect, Exit, Fiber, Latch } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import type { KafkaError } from "../../KafkaError.ts"
import { prepareCrc32c } from "../records/crc32c.ts"
import type { AnswerMemory } from "../records/answerMemory.ts"
import type { Partition } from "./partition.ts"
import type { Answers, Question } from "./answers.ts"
import type { SessionContext } from "./sessionContext.ts"
import { LOADING_WAIT, type Stage } from "./stage.ts"
import type { Tombstones } from "./tombstones.ts"

/** Failures in a row from which on a partition does not cut the running long poll short more often than every `CUT` milliseconds. */
const PATIENT = 3
const CUT = 1000

interface Asked {
  readonly fiber: Fiber.Fiber<KafkaClient.FetchAnswer, KafkaError>
  readonly questions: ReadonlyMap<number, Question>
}

interface Loop {
  /** What the outstanding question asks for. */
  asked: ReadonlyMap<number, Question> | undefined
  /** What waits for its answer. */
  fiber: Asked["fiber"] | undefined
  isKicked: boolean
}

/** Cuts the long poll short, which ends the loop: a partition has come that is not asked for, or the load is over. */
const kick = (loop: Loop): void => {
  loop.isKicked = true
  loop.fiber?.interruptUnsafe()
}

export interface FetchLoops {
  /** Starts the loops that are missing, and cuts those short that are to ask for more. */
  readonly ensure: Effect.Effect<void>
  /** Ends the loops of a load that was stopped, after the answers that they are in the middle of. */
  readonly finish: Effect.Effect<void>
}

/**
 * Whether what was answered last is still being applied. Only the loop that does so may ask for more, and only where it
 * does not have to ask again.
 */
const isBusy = (partition: Partition, broker: number): boolean =>
  partition.readFrom >= 0 && (partition.readFrom !== broker || partition.fetchPosition <= partition.position)

export const make = (
  context: SessionContext,
  stage: Stage,
  answers: Answers,
  tombstones: Tombstones,
  memory: AnswerMemory
): FetchLoops => {
  const { client, guarded, identity, moment, now, partitions, retention, scope, settings, wakeup, topic } = context
  /** Running loops by broker. */
  const loops = new Map<number, Loop>()
  /** Open while no loop runs. */
  const idle = Latch.makeUnsafe(true)
  let rotation = 0

  /** Nothing where the load is over, or nothing is wanted of the broker. */
  const ask = (fetcher: KafkaClient.Fetcher, broker: number, loop: Loop): Effect.Effect<Asked | undefined> =>
    Effect.suspend(() => {
      if (stage.isStopped) return Effect.undefined
      loop.isKicked = false
      const questions = new Map<number, Question>()
      const asked: Array<KafkaClient.FetchRequest["partitions"][number]> = []
      let { maxBytes } = settings
      let isAway = false
      let mayFollow = tombstones.mayFollow()
      const sent = moment()
      for (const partition of partitions.values()) {
        if (partition.source !== broker || !stage.wants(partition) || isBusy(partition, broker)) continue
        questions.set(partition.partition, {
          partition,
          question: partition.question,
          broker,
          leaderEpoch: partition.leaderEpoch,
          sent
        })
        isAway ||= partition.disconnectedSince !== undefined
        maxBytes = Math.max(maxBytes, partition.maxBytes)
        if (partition.leaderUntil > now() || partition.tombstones.isBound) mayFollow = false
        asked.push({
          partition: partition.partition,
          fetchOffset: partition.fetchPosition,
          currentLeaderEpoch: partition.leaderEpoch,
          lastFetchedEpoch: partition.fetchEpoch,
          maxBytes: partition.maxBytes
        })
      }
      if (asked.length === 0) return Effect.undefined
      // A full answer serves the first partitions first: each takes its turn.
      if (asked.length > 1) asked.push(...asked.splice(0, rotation++ % asked.length))
      const request: KafkaClient.FetchRequest = {
        topic,
        topicId: identity.topicId,
        isolation: settings.isolation,
        // A broker that is back says so at once, not with the end of a long poll.
        maxWait: Math.min(settings.maxWait, stage.isLoading || isAway ? LOADING_WAIT : retention.patience),
        minBytes: settings.minBytes,
        maxBytes,
        rack: mayFollow ? settings.rack : undefined,
        partitions: asked,
        // Who loads wants all that there is, and in memory that is filled again.
        shares: !stage.isLoading,
        allocate: stage.isLoading ? memory.allocate : undefined
      }
      return Effect.map(Effect.forkIn(fetcher.fetch(request), scope, { startImmediately: true }), (fiber): Asked => {
        loop.fiber = fiber
        // While the question left.
        if (loop.isKicked) fiber.interruptUnsafe()
        return { fiber, questions }
      })
    })

  /** Until when brokers want to be left alone, in milliseconds of the monotonic clock. */
  const throttledUntil = new Map<number, number>()
  const awaitThrottle = (broker: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      const left = (throttledUntil.get(broker) ?? Number.NEGATIVE_INFINITY) - now()
      return left > 0 ? stage.orStop(Effect.sleep(left)) : Effect.void
    })

  const runLoop = (broker: number, loop: Loop): Effect.Effect<void> =>
    Effect.scoped(
      Effect.gen(function* () {
        const fetcher = yield* client.openFetcher(broker)
        yield* awaitThrottle(broker)
        let asked = yield* ask(fetcher, broker, loop)
        // The first answer is on its way meanwhile.
        prepareCrc32c()
        while (asked !== undefined) {
          const { fiber, questions }: Asked = asked
          loop.asked = questions
          const exit = yield* Fiber.await(fiber)
          if (Exit.isFailure(exit)) {
            if (loop.isKicked && Cause.hasInterruptsOnly(exit.cause)) break
            yield* answers.onFailed(exit, questions)
            break
          }
          const answer = exit.value
          if (answer.throttle > 0) throttledUntil.set(broker, now() + answer.throttle)
          const sets = answer.partitions.flatMap(({ records }) => (records.length > 0 ? [records] : []))
          memory.receive(sets)
          const readable = yield* answers.sort(answer, questions, broker)
          // The next question leaves before this answer is decoded: headers alone tell where it starts.
          asked = answer.throttle > 0 ? undefined : yield* ask(fetcher, broker, loop)
          loop.asked = asked?.questions
          for (const each of readable) yield* answers.read(each)
          if (sets.length > 0) memory.release(sets[0]!)
          if (answer.throttle > 0) yield* awaitThrottle(broker)
          if (asked === undefined) asked = yield* ask(fetcher, broker, loop)
        }
      })
    ).pipe(
      guarded,
      Effect.ensuring(
        Effect.sync(() => {
          loops.delete(broker)
          if (loops.size === 0) idle.openUnsafe()
          // What this loop left, or was given while it ended, is picked up again.
          wakeup.call()
        })
      )
    )

  /** When a broker's long poll was cut short last for a partition that had failed often, by `now`. */
  const cutAt = new Map<number, number>()
  const mayCut = (broker: number): boolean => {
    const at = now()
    const next = (cutAt.get(broker) ?? Number.NEGATIVE_INFINITY) + CUT
    if (next <= at) cutAt.set(broker, at)
    else wakeup.callAt(next)
    return next <= at
  }

  return {
    ensure: Effect.suspend(() => {
      if (!stage.isOpen) return Effect.void
      // Who is complete while others load is asked again in time.
      if (stage.isLoading) wakeup.callAt(now() + retention.patience)
      const missing = new Set<number>()
      for (const partition of partitions.values()) {
        if (partition.source < 0 || !stage.wants(partition) || partition.readFrom >= 0) continue
        const loop = loops.get(partition.source)
        if (loop === undefined) missing.add(partition.source)
        else if (
          loop.asked !== undefined &&
          loop.asked.get(partition.partition)?.question !== partition.question &&
          (partition.failures < PATIENT || mayCut(partition.source))
        ) {
          kick(loop)
        }
      }
      // All are known before the first is started: others may ask for what is missing meanwhile.
      const started = Array.from(missing, (broker) => {
        const loop: Loop = { asked: undefined, fiber: undefined, isKicked: false }
        loops.set(broker, loop)
        idle.closeUnsafe()
        return runLoop(broker, loop)
      })
      return Effect.forEach(started, (loop) => Effect.forkIn(loop, scope), { discard: true })
    }),
    finish: Effect.suspend(() => {
      loops.forEach(kick)
      return idle.await
    })
  }
}
