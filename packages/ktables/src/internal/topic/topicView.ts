/**
 * What the tables and writers of one client know of a topic: one view, shared by all who use it, with one patience. Whoever
 * describes the topic does so for all of them.
 *
 * Brokers lag, each in its own way, so that a description may tell of the past. What it says of leaders counts where its
 * leader epoch is not older. Partitions are never taken away from a topic. Another cluster, another topic id, or where there
 * are no ids fewer partitions, is believed when it was said twice in a row; until then the view is in doubt.
 */
import { Cause, Clock, Deferred, Effect, Exit, Random, Result, Scope } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import type { BrokerError, KafkaError } from "../../KafkaError.ts"
import { differs } from "../differs.ts"
import { type Moment, momentOf, monotonicMillis } from "../moment.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import { backoffMillis } from "../backoff.ts"
import { Listeners } from "./listeners.ts"
import * as TopicSettings from "./topicSettings.ts"

/** Another topic is believed when it was said by two descriptions in a row, the later one asked for this many milliseconds after. */
const CERTAIN_AFTER = 100

/** What a topic with a known id does not do, or does for a moment only, is believed when it was said so often, for so many milliseconds. */
const REPETITIONS = 3
const REPEATED_FOR = 3000

export interface SeenPartition extends KafkaClient.PartitionDescription {
  /** When the newest description that says so was asked for. */
  readonly saidAt: Moment
}

/** The topic as the view believes it to be: ids as far as they were ever said, leaders of the newest epochs. */
export interface SeenTopic extends KafkaClient.TopicDescription {
  readonly partitions: ReadonlyArray<SeenPartition>
  /** Rises when the name turns out to be another topic's, or the address another cluster's. */
  readonly generation: number
  /** When the newest description of it was asked for. */
  readonly saidAt: Moment
}

/** Why a description is not of the topic that was known. */
export interface Difference {
  readonly previous: string
  readonly current: string
}

/** What one question about the topic brought. */
export type Sighting =
  /** `said` is the very answer, of which `topic` may have taken over less. */
  | { readonly _tag: "Described"; readonly topic: SeenTopic; readonly said: KafkaClient.TopicDescription }
  /** A description of something else, which is not believed yet. */
  | { readonly _tag: "Doubted"; readonly difference: Difference }
  /** There is no such topic; certain where that was said often enough. */
  | { readonly _tag: "Absent"; readonly isCertain: boolean; readonly error: BrokerError }
  | { readonly _tag: "Failed"; readonly error: KafkaError }

export interface TopicView {
  readonly client: KafkaClient.Service
  readonly topic: string
  readonly settings: TopicSettings.TopicSettings
  /** Undefined before the first description. */
  readonly current: () => SeenTopic | undefined
  /** What made the newest generation another; undefined in the first. */
  readonly change: () => Difference | undefined
  /** What the last description tells of that is not believed yet: nothing may be sent or concluded meanwhile. */
  readonly doubt: () => Difference | undefined
  readonly latest: () => Sighting | undefined
  /** Sightings that told nothing of the topic, in a row. */
  readonly failures: () => number
  /** Counts sightings. */
  readonly version: () => number
  /** When the newest question left, in milliseconds of the monotonic clock. */
  readonly askedAt: () => number
  /**
   * Begins a look, and hands back what waits for it: a description that is asked for after the call, shared with all who ask
   * meanwhile. Behind failures it waits for the end of their back-off.
   */
  readonly begin: Effect.Effect<Effect.Effect<Sighting>>
  /** As `begin`, and waits. */
  readonly look: Effect.Effect<Sighting>
  /** Looks, unless there was a sighting since version `seen`; a look under way will do. */
  readonly refresh: (seen: number) => Effect.Effect<void>
  /** As `look`, once the view is not in doubt. */
  readonly describe: Effect.Effect<SeenTopic, KafkaError>
  /** The topic was created: that it was not there says nothing any more, and it is looked for at once. */
  readonly created: () => void
  /** Waits until the view is not in doubt. */
  readonly settled: Effect.Effect<void>
  /** Calls `listener` with every sighting, in the step in which it counts, until the scope closes. */
  readonly subscribe: (listener: (sighting: Sighting) => void) => Effect.Effect<void, never, Scope.Scope>
}

interface Shared {
  readonly view: TopicView
  readonly scope: Scope.Closeable
  users: number
}

/** By client and topic, while somebody uses it. */
const views = new WeakMap<KafkaClient.Service, Map<string, Shared>>()

/** The client's view of a topic, until the scope closes. */
export const acquire = (client: KafkaClient.Service, topic: string): Effect.Effect<TopicView, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.map(Clock.Clock, (clock) => {
        let byTopic = views.get(client)
        if (byTopic === undefined) views.set(client, (byTopic = new Map()))
        let shared = byTopic.get(topic)
        if (shared === undefined) {
          const scope = Scope.makeUnsafe()
          byTopic.set(topic, (shared = { view: make(client, topic, clock, scope), scope, users: 0 }))
        }
        shared.users++
        return shared
      }),
      (shared) =>
        Effect.suspend(() => {
          if (--shared.users > 0) return Effect.void
          views.get(client)?.delete(topic)
          return Scope.close(shared.scope, Exit.void)
        })
    ),
    ({ view }) => view
  )

/** Something that is believed when it was repeated often enough, for long enough. */
interface Repetition {
  times: number
  readonly since: number
}

const make = (client: KafkaClient.Service, topic: string, clock: Clock.Clock, scope: Scope.Scope): TopicView => {
  const listeners = new Listeners<Sighting>()
  let current: SeenTopic | undefined
  let change: Difference | undefined
  let doubt: (Difference & { readonly since: number }) | undefined
  let latest: Sighting | undefined
  let version = 0
  let failures = 0
  let askedAt = Number.NEGATIVE_INFINITY
  /** When the next question may leave, in milliseconds of the monotonic clock. */
  let notBefore = Number.NEGATIVE_INFINITY
  let absence: Repetition | undefined
  /** Older leader epochs that are said, by partition. */
  const older = new Map<number, Repetition>()

  const now = (): number => monotonicMillis(clock)
  const settings = TopicSettings.make(client, topic, now)

  const repeated = (known: Repetition | undefined): Repetition =>
    known === undefined ? { times: 1, since: now() } : { times: known.times + 1, since: known.since }
  const isCertain = ({ since, times }: Repetition): boolean => times >= REPETITIONS && now() - since >= REPEATED_FOR

  const differenceOf = (known: SeenTopic, said: KafkaClient.TopicDescription): Difference | undefined => {
    if (differs(known.clusterId, said.clusterId)) {
      return { previous: `cluster ${known.clusterId}`, current: `cluster ${said.clusterId}` }
    }
    if (differs(known.topicId, said.topicId)) return { previous: `${known.topicId}`, current: `${said.topicId}` }
    const isSameTopic = known.topicId !== undefined && known.topicId === said.topicId
    return !isSameTopic && said.partitions.length < known.partitions.length
      ? { previous: `${known.partitions.length} partitions`, current: `${said.partitions.length} partitions` }
      : undefined
  }

  /** What is to be taken over of a partition that was known before. */
  const merged = (known: SeenPartition, said: KafkaClient.PartitionDescription, saidAt: Moment): SeenPartition => {
    const { partition } = said
    if (said.leaderEpoch >= 0 && said.leaderEpoch < known.leaderEpoch) {
      const repetition = repeated(older.get(partition))
      older.set(partition, repetition)
      if (!isCertain(repetition)) return known
    }
    older.delete(partition)
    // A partition without a leader keeps its epoch: the next leader's is a later one.
    const leaderEpoch = said.leader < 0 ? Math.max(known.leaderEpoch, said.leaderEpoch) : said.leaderEpoch
    return { ...said, leaderEpoch, saidAt }
  }

  const begin = (said: KafkaClient.TopicDescription, saidAt: Moment, generation: number): SeenTopic => {
    older.clear()
    return {
      ...said,
      partitions: said.partitions.map((partition) => ({ ...partition, saidAt })),
      generation,
      saidAt
    }
  }

  const adopt = (known: SeenTopic, said: KafkaClient.TopicDescription, saidAt: Moment): SeenTopic => {
    const partitions = said.partitions.map((partition, i): SeenPartition => {
      const before = known.partitions[i]
      return before === undefined ? { ...partition, saidAt } : merged(before, partition, saidAt)
    })
    return {
      ...said,
      clusterId: said.clusterId ?? known.clusterId,
      topicId: said.topicId ?? known.topicId,
      partitions: [...partitions, ...known.partitions.slice(partitions.length)],
      generation: known.generation,
      saidAt
    }
  }

  const described = (said: KafkaClient.TopicDescription, saidAt: Moment): Sighting => {
    absence = undefined
    const difference = current === undefined ? undefined : differenceOf(current, said)
    if (current === undefined || difference === undefined) {
      doubt = undefined
      current = current === undefined ? begin(said, saidAt, 0) : adopt(current, said, saidAt)
      return { _tag: "Described", topic: current, said }
    }
    const isRepeated = doubt !== undefined && doubt.current === difference.current
    if (isRepeated && saidAt.monotonic - doubt!.since >= CERTAIN_AFTER) {
      doubt = undefined
      change = difference
      settings.forget()
      current = begin(said, saidAt, current.generation + 1)
      return { _tag: "Described", topic: current, said }
    }
    if (!isRepeated) doubt = { ...difference, since: saidAt.monotonic }
    return { _tag: "Doubted", difference }
  }

  const failed = (error: KafkaError): Sighting => {
    const isAbsent =
      error._tag === "BrokerError" &&
      (error.code === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION || error.code === ErrorCode.UNKNOWN_TOPIC_ID)
    if (!isAbsent) return { _tag: "Failed", error }
    absence = repeated(absence)
    return { _tag: "Absent", isCertain: isCertain(absence), error }
  }

  const ask = Effect.gen(function* () {
    const early = notBefore - now()
    if (early > 0) yield* Effect.sleep(early)
    underWay = waiting
    waiting = undefined
    const sent = momentOf(clock)
    askedAt = sent.monotonic
    const result = yield* Effect.result(client.describeTopic(topic))
    const sighting = Result.isSuccess(result) ? described(result.success, sent) : failed(result.failure)
    if (sighting._tag === "Described") failures = 0
    else {
      failures++
      notBefore = now() + backoffMillis(failures, yield* Random.next)
    }
    latest = sighting
    version++
    listeners.call(sighting)
    if ("error" in sighting) yield* Effect.logDebug(`${topic} could not be described: ${sighting.error.message}`)
    return sighting
  })

  /** Who asked before the question left, and who asked since. */
  let underWay: Deferred.Deferred<Sighting> | undefined
  let waiting: Deferred.Deferred<Sighting> | undefined
  let isAsking = false

  const asking: Effect.Effect<void> = Effect.suspend(() => {
    // Until a doubt is resolved the topic is described again and again, whoever wants it.
    if (waiting === undefined && doubt !== undefined) waiting = Deferred.makeUnsafe()
    if (waiting === undefined) {
      isAsking = false
      return Effect.void
    }
    const one = Effect.onExit(ask, (exit) =>
      Effect.sync(() => {
        const asked = underWay ?? waiting
        if (underWay === undefined) waiting = undefined
        underWay = undefined
        if (asked !== undefined) Deferred.doneUnsafe(asked, exit)
      })
    )
    return Effect.matchCauseEffect(one, {
      // A fault of the client's code is the asker's, and ends nothing else.
      onFailure: (cause) => (Cause.hasInterrupts(cause) ? Effect.failCause(cause) : asking),
      onSuccess: () => asking
    })
  })

  // In one piece: a caller that was interrupted on the way would leave everybody to wait for what nobody asks.
  const beginLook: TopicView["begin"] = Effect.uninterruptible(
    Effect.suspend(() => {
      const seen = Deferred.await((waiting ??= Deferred.makeUnsafe()))
      if (isAsking) return Effect.succeed(seen)
      isAsking = true
      const ended = Effect.onExit(asking, (exit) =>
        Effect.sync(() => {
          // Else somebody may be asking again already.
          if (Exit.isSuccess(exit)) return
          isAsking = false
          if (waiting === undefined) return
          Deferred.doneUnsafe(waiting, Exit.failCause(exit.cause))
          waiting = undefined
        })
      )
      return Effect.as(Effect.forkIn(ended, scope, { startImmediately: true }), seen)
    })
  )
  const look: TopicView["look"] = Effect.flatten(beginLook)

  const settled: TopicView["settled"] = Effect.suspend(() =>
    doubt === undefined ? Effect.void : Effect.andThen(look, settled)
  )

  const describe: TopicView["describe"] = Effect.flatMap(look, (sighting) => {
    switch (sighting._tag) {
      case "Described":
        return Effect.succeed(sighting.topic)
      case "Doubted":
        return Effect.andThen(settled, describe)
      default:
        return Effect.fail(sighting.error)
    }
  })

  return {
    client,
    topic,
    settings,
    current: () => current,
    change: () => change,
    doubt: () => doubt,
    latest: () => latest,
    failures: () => failures,
    version: () => version,
    askedAt: () => askedAt,
    begin: beginLook,
    look,
    refresh: (seen) =>
      Effect.suspend(() => {
        if (version > seen) return Effect.void
        return Effect.asVoid(underWay === undefined ? look : Deferred.await(underWay))
      }),
    describe,
    created: () => {
      absence = undefined
      failures = 0
      notBefore = Number.NEGATIVE_INFINITY
    },
    settled,
    subscribe: listeners.subscribe
  }
}
