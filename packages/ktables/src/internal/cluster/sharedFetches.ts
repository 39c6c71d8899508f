/**
 * Asks a broker the questions of many fetchers together: long polls of many topics over few connections.
 *
 * A broker answers one request of a connection after the other, so a connection that waits in a long poll can carry nothing
 * else. A *lane* is such a connection. It asks whatever it carries in one request; whoever has records, an error or the end
 * of its wait is answered, and the others go on waiting in the lane's next request. What comes while every lane waits is
 * asked by another lane, and taken over by the largest one in its next request. So tables that are quiet end up in one lane.
 *
 * Each change of one table has its lane ask for all again. Tables that change often are therefore asked for in lanes of a few,
 * and cost the many others nothing; and those whose answers are large, for which others would have to wait, in lanes of their own.
 *
 * A question is only answered by a request that left after it was asked, so that whoever asks may conclude from the time
 * of its question.
 */
import { type Clock, Deferred, Effect, Exit, Latch, Scope } from "effect"
import type { FetchAnswer, FetchRequest } from "../../KafkaClient.ts"
import { ConnectionFailed, type KafkaError } from "../../KafkaError.ts"
import { monotonicMillis } from "../moment.ts"
import { fetchTopics, type TopicsAnswer } from "../protocol/messages/fetch.ts"
import type { ConnectionSlot } from "./connectionSlot.ts"

/** Questions of busy tables that a lane carries at most, and up to which a lane of quiet ones carries them. */
const FEW = 32
/** Bytes of records in an answer from which on others do not wait for the next one. */
const LARGE = 1 << 18
/** Partitions that a lane carries at most, unless one question has more: their answers are decoded in one go. */
const MOST_PARTITIONS = 1000
/** Lanes of one broker beyond which a question waits for one that polls for a short time, if one of these can carry it. */
const ENOUGH_LANES = 8
/** Fetchers of a broker that have a connection each: shared ones would be about as many, and each answer takes a turn more. */
const ALONE = 8
/** From so many lanes on, all but the largest poll for a short time while questions come for which none is free. */
const MANY_LANES = 3
const SHORT_POLL = 100
/** Milliseconds after the last such question in which there may be others. */
const PRESSING = 1000
/** Milliseconds that a lane is kept open without a question. */
const IDLE = 10_000
/** Turns of the event loop that a lane waits for those whom it has answered to ask on. */
const GATHERING = 8
/** Questions that are answered in one go. */
const ANSWERED_AT_ONCE = 64
/** The part of its wait before whose end a question is answered together with others: so they wait together from then on. */
const EARLY = 1 / 4

/** What the last answer had: no records, some, or many. */
type Pace = "quiet" | "busy" | "heavy"

/** Questions that a lane for them carries at most. */
const MOST: Readonly<Record<Pace, number>> = { quiet: Number.POSITIVE_INFINITY, busy: FEW, heavy: 1 }

/** Who asks, one question at a time. */
export class Asker {
  pace: Pace = "quiet"
}

class Question {
  readonly answer = Deferred.makeUnsafe<FetchAnswer | undefined, KafkaError>()
  readonly asker: Asker
  readonly request: FetchRequest
  /** When its wait is over, in milliseconds of the monotonic clock. */
  readonly until: number
  /** Whose next request, or request under way, it is part of. */
  lane: Lane | undefined
  isOpen = true

  constructor(asker: Asker, request: FetchRequest, until: number) {
    this.asker = asker
    this.request = request
    this.until = until
  }
}

class Lane {
  readonly pace: Pace
  readonly carried = new Set<Question>()
  readonly #topics = new Set<string | undefined>()
  #partitions = 0
  /** Who was answered by it and has not asked on. */
  readonly expected = new Set<Asker>()
  /** A lane that is opened, or that gathers, takes what waits by itself; one that is ready has to be woken. */
  state: "opening" | "gathering" | "asking" | "ready" = "opening"
  /** Whether it polls for a short time only. */
  isShort = false
  /** Rises when it goes on in another fiber. */
  turn = 0
  /** Its connection, once it is open. */
  slot: ConnectionSlot | undefined
  readonly woken = Latch.makeUnsafe(false)
  readonly scope: Scope.Closeable

  constructor(pace: Pace, scope: Scope.Closeable) {
    this.pace = pace
    this.scope = scope
  }

  /** Whether it could carry a question beside what it carries. */
  hasRoomFor({ request }: Question): boolean {
    if (this.carried.size === 0) return true
    // A broker answers about a partition once, however often it is in a request.
    if (this.#topics.has(request.topicId)) return false
    return this.#partitions + request.partitions.length <= MOST_PARTITIONS && this.carried.size < MOST[this.pace]
  }

  take(question: Question): void {
    question.lane?.leave(question)
    question.lane = this
    this.carried.add(question)
    this.#topics.add(question.request.topicId)
    this.#partitions += question.request.partitions.length
  }

  leave(question: Question): void {
    if (!this.carried.delete(question)) return
    this.#topics.delete(question.request.topicId)
    this.#partitions -= question.request.partitions.length
  }
}

/** Questions that may be one request. */
interface Group {
  readonly waiting: Set<Question>
  readonly lanes: Set<Lane>
  /** When the last question came for which no lane was free, beside the first of all. */
  pressedAt: number
}

export interface SharedFetches {
  /** Whether so many fetch from the broker that they had better share connections. */
  readonly areMany: () => boolean
  /** Undefined where the question has to be asked over a connection of its own. */
  readonly fetch: (asker: Asker, request: FetchRequest) => Effect.Effect<FetchAnswer | undefined, KafkaError>
}

/** The shared fetches of each broker, while somebody uses them; then their connections are closed. */
export const make = (
  clock: Clock.Clock,
  clientScope: Scope.Scope,
  open: (broker: number) => Effect.Effect<ConnectionSlot, never, Scope.Scope>
): ((broker: number) => Effect.Effect<SharedFetches, never, Scope.Scope>) => {
  const byBroker = new Map<
    number,
    { readonly fetches: SharedFetches; readonly scope: Scope.Closeable; users: number }
  >()
  return (broker) =>
    Effect.map(
      Effect.acquireRelease(
        Effect.suspend(() => {
          const known = byBroker.get(broker)
          if (known !== undefined) {
            known.users++
            return Effect.succeed(known)
          }
          return Effect.map(Scope.fork(clientScope), (scope) => {
            const fetch = makeOne(clock, scope, broker, open(broker))
            const made = { fetches: { areMany: () => made.users > ALONE, fetch }, scope, users: 1 }
            byBroker.set(broker, made)
            return made
          })
        }),
        (shared) =>
          Effect.suspend(() => {
            if (--shared.users > 0) return Effect.void
            byBroker.delete(broker)
            return Scope.close(shared.scope, Exit.void)
          })
      ),
      ({ fetches }) => fetches
    )
}

const makeOne = (
  clock: Clock.Clock,
  scope: Scope.Scope,
  broker: number,
  open: Effect.Effect<ConnectionSlot, never, Scope.Scope>
): SharedFetches["fetch"] => {
  const groups = new Map<string, Group>()
  /** The broker names topics by name only. */
  let isUnsupported = false
  let rotation = 0
  const now = (): number => monotonicMillis(clock)

  const groupOf = ({ isolation, rack }: FetchRequest): Group => {
    const name = JSON.stringify([isolation, rack])
    let group = groups.get(name)
    if (group === undefined)
      groups.set(name, (group = { waiting: new Set(), lanes: new Set(), pressedAt: Number.NEGATIVE_INFINITY }))
    return group
  }

  const close = (group: Group, question: Question, exit: Exit.Exit<FetchAnswer | undefined, KafkaError>): void => {
    question.isOpen = false
    group.waiting.delete(question)
    question.lane?.leave(question)
    Deferred.doneUnsafe(question.answer, exit)
  }

  const isFor = (group: Group, lane: Lane, { asker }: Question): boolean => {
    if (lane.pace !== "quiet" || asker.pace === "quiet") return lane.pace === asker.pace
    if (lane.carried.size < MOST[asker.pace]) return true
    // Rather with the many than not at all, while a lane for it is opened.
    for (const { pace, state } of group.lanes) if (pace === asker.pace && state !== "opening") return false
    return true
  }

  const takeWaiting = (group: Group, lane: Lane): void => {
    for (const question of group.waiting) {
      if (!isFor(group, lane, question) || !lane.hasRoomFor(question)) continue
      group.waiting.delete(question)
      lane.take(question)
    }
  }

  /** Takes what waits, and what smaller lanes carry: their answers still count, should they come first. */
  const load = (group: Group, lane: Lane): void => {
    takeWaiting(group, lane)
    const { size } = lane.carried
    for (const other of group.lanes) {
      if (other === lane || other.pace !== lane.pace || other.carried.size > size) continue
      for (const question of other.carried) if (lane.hasRoomFor(question)) lane.take(question)
    }
  }

  /** Of lanes of the same size the first. */
  const isLargest = (group: Group, lane: Lane): boolean => {
    let largest = lane
    for (const other of group.lanes) if (other.carried.size > largest.carried.size) largest = other
    for (const other of group.lanes) if (other.carried.size === largest.carried.size) return other === lane
    return true
  }

  const ask = Effect.fnUntraced(function* (group: Group, lane: Lane, slot: ConnectionSlot, asked: Array<Question>) {
    const connection = yield* slot
    const at = now()
    let maxWait = Number.POSITIVE_INFINITY
    let maxBytes = 0
    for (const { request, until } of asked) {
      maxWait = Math.min(maxWait, until - at)
      maxBytes = Math.max(maxBytes, request.maxBytes)
    }
    const { pressedAt, lanes } = group
    lane.isShort =
      at - pressedAt < PRESSING &&
      lanes.size >= MANY_LANES &&
      // Those of a quiet time all wait for long: what is opened beyond them has to be free soon, or ever more are.
      (lanes.size > ENOUGH_LANES || !isLargest(group, lane))
    if (lane.isShort) maxWait = Math.min(maxWait, SHORT_POLL)
    maxWait = Math.max(0, Math.ceil(maxWait))
    const { isolation, rack } = asked[0]!.request
    const topics = asked.map(({ request }) => request)
    return yield* connection.call(
      fetchTopics,
      { isolation, rack, maxWait, minBytes: 1, maxBytes, topics },
      { brokerWait: maxWait }
    )
  })

  const answerAll = Effect.fnUntraced(function* (
    group: Group,
    lane: Lane,
    asked: ReadonlyArray<Question>,
    { topics, ...answer }: TopicsAnswer
  ) {
    const at = now()
    const sizes = asked.map((_, i) => (topics[i] ?? []).reduce((sum, { records }) => sum + records.length, 0))
    const isCrowded = sizes.some((bytes) => bytes > 0)
    const answered: Array<{ readonly question: Question; readonly partitions: FetchAnswer["partitions"] }> = []
    for (const [i, question] of asked.entries()) {
      const { asker, request, until } = question
      if (!question.isOpen) continue
      const partitions = topics[i] ?? []
      const bytes = sizes[i]!
      const tells = bytes > 0 || partitions.some(isNews)
      // Another lane has taken it over otherwise.
      const isDue =
        question.lane === lane &&
        (answer.errorCode !== 0 || answer.throttle > 0 || until - at <= EARLY * request.maxWait)
      if (!tells && !isDue) continue
      asker.pace = bytes >= LARGE ? "heavy" : bytes > 0 ? "busy" : "quiet"
      if (answer.errorCode === 0 && answer.throttle === 0) lane.expected.add(asker)
      answered.push({ question, partitions })
    }
    for (const [i, { partitions, question }] of answered.entries()) {
      if (question.isOpen) close(group, question, Exit.succeed({ ...answer, partitions, isCrowded }))
      else lane.expected.delete(question.asker)
      if ((i + 1) % ANSWERED_AT_ONCE === 0) yield* Effect.yieldNow
    }
  })

  const fail = (group: Group, lane: Lane, error: KafkaError): void => {
    // What is wrong with one answer is found out by whom it concerns.
    const isOurs = error._tag === "MalformedAnswer" || error._tag === "UnsupportedRequest"
    if (error._tag === "UnsupportedRequest") isUnsupported = true
    const exit = isOurs ? Exit.succeed(undefined) : Exit.fail(error)
    for (const question of lane.carried) close(group, question, exit)
  }

  /** Opens the lane's connection, and asks over it until it goes on in another fiber, fails, or is not used for a while. */
  const run = Effect.fnUntraced(function* (group: Group, lane: Lane, turn: number) {
    if (lane.slot === undefined) {
      const slot = yield* Scope.provide(open, lane.scope)
      const opened = yield* Effect.result(Effect.flatMap(slot, (connection) => connection.versionOf(fetchTopics)))
      if (opened._tag === "Failure") {
        // Not what others carry, whose connections may be good.
        takeWaiting(group, lane)
        return fail(group, lane, opened.failure)
      }
      lane.slot = slot
    }
    while (lane.turn === turn) {
      load(group, lane)
      if (lane.carried.size === 0) {
        lane.state = "ready"
        // What is not for it any more, since others were opened.
        yield* dispatch(group, group.waiting)
        const woken = yield* Effect.timeoutOption(lane.woken.await, IDLE)
        if (woken._tag === "None" && lane.state === "ready") return
        lane.woken.closeUnsafe()
        // Others may be about to ask, too.
        yield* Effect.yieldNow
        continue
      }
      lane.state = "asking"
      // What it has no room for.
      yield* dispatch(group, group.waiting)
      yield* relieve(group, lane)
      const asked = [...lane.carried]
      // Others were answered first.
      if (asked.length === 0) continue
      // A full answer serves the first topics first: each takes its turn.
      asked.push(...asked.splice(0, rotation++ % asked.length))
      const result = yield* Effect.result(ask(group, lane, lane.slot, asked))
      lane.state = "gathering"
      if (result._tag === "Failure") return fail(group, lane, result.failure)
      yield* answerAll(group, lane, asked, result.success)
      for (let i = 0; i < GATHERING && lane.turn === turn && lane.expected.size > 0; i++) yield* Effect.yieldNow
      if (lane.turn === turn) lane.expected.clear()
    }
  })

  /** Has a lane go on at once, in a fiber of its own: whoever runs this does not wait, and is not waited for. */
  const goOn = (group: Group, lane: Lane): Effect.Effect<void> =>
    Effect.suspend(() => {
      const turn = ++lane.turn
      const ended = Effect.onExit(run(group, lane, turn), (exit) =>
        Effect.suspend(() => {
          if (lane.turn !== turn) return Effect.void
          group.lanes.delete(lane)
          const closed = new ConnectionFailed({
            broker: `broker ${broker}`,
            request: fetchTopics.name,
            detail: "the connection was closed"
          })
          const end = Exit.isFailure(exit) && !Exit.hasInterrupts(exit) ? Exit.failCause(exit.cause) : Exit.fail(closed)
          for (const question of lane.carried) close(group, question, end)
          if (isClosed()) for (const question of group.waiting) close(group, question, end)
          return Effect.andThen(
            Scope.close(lane.scope, Exit.void),
            isClosed() ? Effect.void : dispatch(group, group.waiting)
          )
        })
      )
      return Effect.asVoid(Effect.forkIn(ended, scope, { startImmediately: true }))
    })

  const start = (group: Group, pace: Pace): Effect.Effect<void> =>
    Effect.flatMap(Scope.fork(scope), (laneScope) => {
      const lane = new Lane(pace, laneScope)
      group.lanes.add(lane)
      return goOn(group, lane)
    })

  const isClosed = (): boolean => scope.state._tag === "Closed"

  /** Sees to it that somebody takes questions that wait. */
  const dispatch = (group: Group, questions: Iterable<Question>): Effect.Effect<void> =>
    Effect.suspend(() => {
      for (const question of questions) {
        if (!group.waiting.has(question)) continue
        const able = [...group.lanes].filter((lane) => isFor(group, lane, question) && lane.hasRoomFor(question))
        if (able.some(({ state }) => state === "gathering" || state === "opening")) continue
        const ready = able.find(({ state }) => state === "ready")
        if (ready !== undefined) {
          ready.state = "gathering"
          ready.woken.openUnsafe()
          continue
        }
        if (group.lanes.size > 0) group.pressedAt = now()
        if (group.lanes.size < ENOUGH_LANES || !able.some(({ isShort }) => isShort)) {
          // Others that wait may fit into it, too.
          return Effect.andThen(
            start(group, group.lanes.size > 0 ? question.asker.pace : "quiet"),
            dispatch(group, questions)
          )
        }
      }
      return Effect.void
    })

  /** Opens a lane for somebody whom one of the many carries for want of it. */
  const relieve = (group: Group, lane: Lane): Effect.Effect<void> => {
    if (lane.pace !== "quiet" || group.lanes.size >= ENOUGH_LANES) return Effect.void
    for (const { asker } of lane.carried) {
      if (asker.pace === "quiet" || lane.carried.size <= MOST[asker.pace]) continue
      let isOpening = false
      for (const { pace, state } of group.lanes) isOpening ||= pace === asker.pace && state === "opening"
      if (!isOpening) return start(group, asker.pace)
    }
    return Effect.void
  }

  // Whoever is interrupted before a lane goes on would leave the questions waiting that count on it.
  return (asker, request) =>
    Effect.uninterruptibleMask((restore) => {
      if (isUnsupported || isClosed() || request.topicId === undefined || request.minBytes > 1) {
        return Effect.succeed(undefined)
      }
      const group = groupOf(request)
      const question = new Question(asker, request, now() + request.maxWait)
      group.waiting.add(question)
      // The last one whom a lane waits for: its question leaves now, before it reads what it was answered.
      const complete = [...group.lanes].filter(
        ({ expected, state }) => expected.delete(asker) && expected.size === 0 && state === "gathering"
      )
      return Effect.forEach(complete, (lane) => goOn(group, lane), { discard: true }).pipe(
        Effect.andThen(dispatch(group, [question])),
        Effect.andThen(restore(Deferred.await(question.answer))),
        Effect.onInterrupt(() => Effect.sync(() => close(group, question, Exit.succeed(undefined))))
      )
    })
}

/** Whether whoever asks for a partition is to know at once, although there are no records. */
const isNews = ({ diverging, errorCode, preferredReadReplica }: FetchAnswer["partitions"][number]): boolean =>
  errorCode !== 0 || diverging !== undefined || preferredReadReplica >= 0
