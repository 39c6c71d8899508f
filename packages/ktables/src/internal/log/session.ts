/**
 * Follows one identity of a topic: describes it, gives every partition a place to start and a target, and runs one fetch
 * loop per broker that serves some of them. It ends only by a `LogError`: lost records, another topic under the name, a
 * deleted topic, records that cannot be read, or a cluster that refuses for good.
 *
 * Whatever passes by itself (elections, restarts, cut connections) parks the partition it concerns; the controller
 * describes the topic after a back-off and sends it on its way again, while the others keep flowing.
 */
import type { LogError } from "./logError.ts"
import { Clock, Deferred, Effect, Fiber, Scope } from "effect"
import type { SeenTopic } from "../topic/topicView.ts"
import { AnswerMemory } from "../records/answerMemory.ts"
import type { Partition } from "./partition.ts"
import * as Answers from "./answers.ts"
import * as Controller from "./controller.ts"
import * as Description from "./description.ts"
import * as Elections from "./elections.ts"
import * as EndOffsets from "./endOffsets.ts"
import * as Listing from "./listing.ts"
import * as Lookups from "./lookups.ts"
import * as FetchLoops from "./fetchLoops.ts"
import * as Offsets from "./offsets.ts"
import * as StartOffsets from "./startOffsets.ts"
import * as Reread from "./reread.ts"
import * as Resumption from "./resumption.ts"
import * as SessionContext from "./sessionContext.ts"
import { type Consume, type Cut, Stage } from "./stage.ts"
import * as SingleFetch from "./singleFetch.ts"
import * as Tombstones from "./tombstones.ts"

export type { FetchSettings } from "./sessionContext.ts"
export type { Consume } from "./stage.ts"

/** Bytes that an answer may have around its records. */
const ANSWER_OVERHEAD = 1 << 16

export interface Session
  extends
    Pick<Controller.Controller, "look">,
    Pick<Description.Description, "partitionCount">,
    Pick<Elections.Elections, "verifyAwaited">,
    Pick<Offsets.Offsets, "lookAhead"> {
  /** Those that are read. */
  readonly partitions: ReadonlyMap<number, Partition>
  /** Where the answers of the load lie. */
  readonly memory: AnswerMemory
  /** Offsets replayed and to replay until caught up. */
  readonly progress: () => { readonly replayed: number; readonly target: number }
  readonly caughtUp: () => boolean
  /** Replays until every partition has reached its target, or `stop` is opened. */
  readonly load: (consume: Consume, stop: Deferred.Deferred<void>) => Effect.Effect<void, LogError>
  /** Follows the log for ever: records are taken, and what lies below a log's start is let go. */
  readonly follow: (consume: Consume, cut: Cut) => Effect.Effect<never, LogError>
  /** Reads some partitions' logs again from its start to where it has been applied, beside the session's own positions. */
  readonly reread: Reread.Reread
  readonly walk: Reread.Walk
  /** The ends of all partitions now, whatever the isolation, partitions that were added meanwhile included. */
  readonly endOffsets: Effect.Effect<ReadonlyMap<number, number>, LogError>
  /** Where the logs of the partitions that are read end, or were at a time. */
  readonly list: (...question: Parameters<Listing.Listing>) => Effect.Effect<ReadonlyMap<number, number>, LogError>
  /** Whether an acknowledged record that was passed long ago is in the log. */
  readonly lookUp: Lookups.LookUp
  /** Whether it is known for how long the topic keeps tombstones, or known that nobody will tell. */
  readonly isRetentionKnown: () => boolean
  /** Whether the log is known not to be what is being read any more. */
  readonly hasFailed: () => boolean
}

export interface Options extends Omit<SessionContext.Surroundings, "identity" | "clock" | "scope"> {
  /** The topic that is followed: another generation of it ends the session. */
  readonly seen: SeenTopic
  /** Called when more of the log was read, or what was read is known to be all. */
  readonly onProgress: () => void
  /** Learns of partitions that were added since the session began; an error ends it. */
  readonly onGrown: Description.OnGrown
}

export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<Session, never, Scope.Scope> {
  const { settings } = options
  const { partitions: described } = options.seen
  const clock = yield* Clock.Clock
  const scope = yield* Scope.Scope
  const memory = new AnswerMemory(
    Math.min(settings.maxBytes, settings.maxPartitionBytes * described.length) + ANSWER_OVERHEAD,
    described.length
  )

  const context = SessionContext.make({ ...options, identity: options.seen, clock, scope })
  const stage = new Stage(context, options.onProgress)
  const offsets = Offsets.make(context)
  const tombstones = Tombstones.make(context, stage, offsets)
  const answers = Answers.make(context, stage, offsets, tombstones)
  const fetchLoops = FetchLoops.make(context, stage, answers, tombstones, memory)
  const startOffsets = StartOffsets.make(context, stage, offsets, fetchLoops, Resumption.make(context, stage, offsets))
  const elections = Elections.make(context, stage, offsets)
  const description = Description.make(context, options.seen, elections, options.onGrown)
  const controller = Controller.make(context, { fetchLoops, startOffsets, elections, description, tombstones })
  const endOffsets = EndOffsets.make(context, options.seen.generation, offsets)
  const list = Listing.make(context, offsets)
  const fetchOne = yield* SingleFetch.make(context)
  const { reread, walk } = Reread.make(context, offsets, fetchOne)
  const lookUp = yield* Lookups.make(context, offsets, fetchOne)
  const { failure, hasFailed, partitions } = context

  // At once: nobody may find the session without partitions.
  yield* tombstones.follow
  yield* description.follow
  yield* context.fork(controller.run)
  yield* context.fork(tombstones.learn)

  return {
    partitions,
    partitionCount: description.partitionCount,
    memory,
    progress: () => stage.progress(),
    caughtUp: () => stage.isLoaded,
    load: (take, stop) =>
      Effect.gen(function* () {
        stage.load(take, stop)
        yield* fetchLoops.ensure
        yield* Effect.raceFirst(Effect.raceFirst(stage.awaitLoaded, Deferred.await(stop)), failure)
        // Loops end after the answer they are in the middle of; what they still take belongs to the load.
        yield* Deferred.succeed(stop, undefined)
        yield* Effect.raceFirst(fetchLoops.finish, failure)
        memory.close()
      }),
    follow: (take, cut) =>
      Effect.gen(function* () {
        stage.follow(take, cut)
        yield* fetchLoops.ensure
        return yield* failure
      }),
    reread: (...options) => Effect.raceFirst(reread(...options), failure),
    walk: (...options) => {
      const next = walk(...options)
      return Effect.raceFirst(next, failure)
    },
    // The scope closes where the session fails. As a race it would cost a fiber more.
    endOffsets: Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Effect.forkIn(endOffsets, scope, { startImmediately: true }), (fiber) =>
        Effect.onInterrupt(restore(Fiber.join(fiber)), () => Fiber.interrupt(fiber))
      )
    ),
    list: (...question) => Effect.raceFirst(list(...question), failure),
    verifyAwaited: elections.verifyAwaited,
    lookUp,
    isRetentionKnown: () => context.retention.isKnown,
    look: controller.look,
    hasFailed,
    lookAhead: offsets.lookAhead
  }
})
