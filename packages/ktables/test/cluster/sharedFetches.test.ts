/** Questions of many fetchers that are asked together: who is answered when, from which request, and over how many connections. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Exit, Fiber, Scheduler, Scope } from "effect"
import { TestClock } from "effect/testing"
import type { FetchAnswer, FetchRequest } from "effect-ktables/KafkaClient"
import { ConnectionFailed, type KafkaError, MalformedAnswer, UnsupportedRequest } from "effect-ktables/KafkaError"
import type { BrokerConnection } from "../../src/internal/cluster/brokerConnection.ts"
import * as SharedFetches from "../../src/internal/cluster/sharedFetches.ts"
import type { TopicsAnswer, TopicsRequest } from "../../src/internal/protocol/messages/fetch.ts"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { chance, seedsOf } from "../support/chance.ts"
import { settle, within } from "../support/time.ts"
import { YieldOnce } from "../support/yieldOnce.ts"

const RECORD = 100
const WAIT = 5000
const topicId = (topic: number): string => topic.toString(16).padStart(32, "0")

/** A broker of topics with one partition each, which counts who is connected and what they ask. */
const makeBroker = () => {
  const ends = new Map<string, number>()
  const failing = new Map<string, number>()
  /** Requests that have left, by number. */
  const requests: Array<TopicsRequest> = []
  const polls = new Set<Deferred.Deferred<void>>()
  const connections = new Set<{ isOpen: boolean }>()
  const broken: { next: KafkaError | undefined } = { next: undefined }
  let throttle = 0

  const changed = (): void => {
    // Whoever is woken polls again, and is not to be woken by that.
    const woken = [...polls]
    for (const poll of woken) Deferred.doneUnsafe(poll, Effect.void)
  }

  const evaluate = (request: TopicsRequest): { readonly answer: TopicsAnswer; readonly isEnough: boolean } => {
    let bytes = 0
    let isUrgent = false
    const topics = request.topics.map(({ partitions, topicId }) =>
      partitions.map(({ fetchOffset, lastFetchedEpoch, maxBytes, partition }) => {
        const end = ends.get(topicId!) ?? 0
        const errorCode = failing.get(topicId!) ?? 0
        isUrgent ||= errorCode !== 0
        const room = Math.min(maxBytes, bytes === 0 ? maxBytes : request.maxBytes - bytes)
        const size = errorCode === 0 ? Math.min(end - fetchOffset, Math.floor(Math.max(0, room) / RECORD)) * RECORD : 0
        bytes += size
        return {
          partition,
          errorCode,
          highWatermark: end,
          lastStableOffset: end,
          // Which question is answered.
          logStartOffset: lastFetchedEpoch,
          diverging: undefined,
          currentLeader: undefined,
          preferredReadReplica: -1,
          abortedTransactions: [],
          records: Buffer.alloc(size)
        }
      })
    )
    return {
      answer: { throttle, errorCode: 0, version: 17, topics: throttle > 0 ? [] : topics },
      isEnough: throttle > 0 || isUrgent || bytes > 0 || request.maxWait === 0
    }
  }

  const call = (request: TopicsRequest) =>
    Effect.gen(function* () {
      requests.push(request)
      // Answers take their time.
      yield* Effect.yieldNow
      if (broken.next !== undefined) {
        const error = broken.next
        broken.next = undefined
        return yield* Effect.fail(error)
      }
      const until = (yield* Clock.currentTimeMillis) + request.maxWait
      for (;;) {
        const { answer, isEnough } = evaluate(request)
        const left = until - (yield* Clock.currentTimeMillis)
        if (isEnough || left <= 0) return answer
        const poll = Deferred.makeUnsafe<void>()
        polls.add(poll)
        yield* Effect.ensuring(
          Effect.timeoutOption(Deferred.await(poll), left),
          Effect.sync(() => polls.delete(poll))
        )
      }
    })

  const open = Effect.gen(function* () {
    const connection = { isOpen: true }
    let isMade = false
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        connections.delete(connection)
      })
    )
    const made = {
      broker: "b:1",
      isOpen: () => connection.isOpen,
      close: Effect.void,
      versionOf: () => Effect.succeed(17),
      call: (_: unknown, request: TopicsRequest) => call(request),
      tell: () => Effect.void
    } as unknown as BrokerConnection
    return Effect.suspend(() => {
      if (isMade) return Effect.succeed(made)
      isMade = true
      connections.add(connection)
      // A connection is not open at once.
      return Effect.as(Effect.yieldNow, made)
    })
  })

  return {
    open,
    ends,
    failing,
    requests,
    connections,
    broken,
    polls,
    append: (topic: number, count = 1) => {
      const id = topicId(topic)
      ends.set(id, (ends.get(id) ?? 0) + count)
      changed()
    },
    fail: (topic: number, code: number) => {
      failing.set(topicId(topic), code)
      changed()
    },
    throttle: (millis: number) => {
      throttle = millis
      changed()
    }
  }
}

let questions = 0

const questionOf = (topic: number, fetchOffset: number, changes: Partial<FetchRequest> = {}): FetchRequest => ({
  topic: `t${topic}`,
  topicId: topicId(topic),
  isolation: "read_committed",
  maxWait: WAIT,
  minBytes: 1,
  maxBytes: 12 * RECORD,
  rack: undefined,
  shares: true,
  partitions: [
    { partition: 0, fetchOffset, currentLeaderEpoch: 0, lastFetchedEpoch: ++questions, maxBytes: 10 * RECORD }
  ],
  ...changes
})

const withBroker = <A, E>(
  use: (
    broker: ReturnType<typeof makeBroker>,
    shared: (broker: number) => Effect.Effect<SharedFetches.SharedFetches, never, Scope.Scope>
  ) => Effect.Effect<A, E, Scope.Scope>
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const broker = makeBroker()
      const shared = SharedFetches.make(yield* Clock.Clock, yield* Effect.scope, () => broker.open)
      return yield* use(broker, shared)
    })
  )

/** Whoever follows a topic, as a fetch loop does: the next question leaves when one is answered. */
const follow = Effect.fnUntraced(function* (
  fetches: SharedFetches.SharedFetches,
  topic: number,
  onAnswer: (answer: FetchAnswer, question: FetchRequest) => Effect.Effect<void> = () => Effect.void,
  partitionBytes = 10 * RECORD
) {
  const asker = new SharedFetches.Asker()
  const state = { position: 0, answers: 0 }
  const loop = Effect.gen(function* () {
    for (;;) {
      const { partitions, ...rest } = questionOf(topic, state.position)
      const question = {
        ...rest,
        maxBytes: Math.max(rest.maxBytes, partitionBytes),
        partitions: partitions.map((partition) => ({ ...partition, maxBytes: partitionBytes }))
      }
      const answer = yield* fetches.fetch(asker, question)
      if (answer === undefined) return
      state.answers++
      state.position += (answer.partitions[0]?.records.length ?? 0) / RECORD
      yield* onAnswer(answer, question)
    }
  })
  return { state, fiber: yield* Effect.forkScoped(loop, { startImmediately: true }) }
})

describe("questions that are asked together", () => {
  it.effect("of tables that are quiet end up in one connection, and wake nobody else's table", () =>
    withBroker((broker, shared) =>
      Effect.gen(function* () {
        const fetches = yield* shared(1)
        const tables = []
        for (let topic = 0; topic < 300; topic++) {
          tables.push(yield* follow(fetches, topic))
          if (topic % 20 === 0) yield* settle
        }
        for (let i = 0; i < 40; i++) yield* TestClock.adjust(1000)
        yield* settle
        assert.strictEqual(broker.connections.size, 1)
        const before = broker.requests.length
        for (let i = 0; i < 100; i++) yield* Effect.andThen(TestClock.adjust(1000), settle)
        assert.isAtMost(broker.requests.length - before, 100)
        const answers = tables.map(({ state }) => state.answers)
        broker.append(7)
        yield* settle
        assert.deepStrictEqual(
          tables.map(({ state }) => state.answers).filter((now, i) => now !== answers[i]!).length,
          1
        )
        assert.strictEqual(tables[7]!.state.position, 1)
      })
    )
  )

  it.effect("are answered when one that came before was interrupted before any of its steps", () =>
    Effect.gen(function* () {
      let step = 1
      for (let isOver = false; !isOver; step++) {
        yield* withBroker((broker, shared) =>
          Effect.gen(function* () {
            const fetches = yield* shared(1)
            const scheduler = new YieldOnce(step)
            const asking = yield* fetches
              .fetch(new SharedFetches.Asker(), questionOf(0, 0))
              .pipe(
                Effect.provideService(Scheduler.Scheduler, scheduler),
                Effect.forkScoped({ startImmediately: true })
              )
            yield* settle
            isOver = !scheduler.hasYielded
            const interrupting = yield* Effect.forkScoped(Fiber.interrupt(asking), { startImmediately: true })
            scheduler.release()
            yield* Fiber.join(interrupting)
            broker.append(1)
            const other = fetches.fetch(new SharedFetches.Asker(), questionOf(1, 0))
            assert.isDefined(yield* within(`an answer after step ${step}`, WAIT, other))
          })
        )
      }
      assert.isAbove(step, 20)
    })
  )

  it.effect("of a table that is busy leave the many others alone", () =>
    withBroker((broker, shared) =>
      Effect.gen(function* () {
        const fetches = yield* shared(1)
        const tables = yield* Effect.forEach(Array.from({ length: 200 }), (_, topic) => follow(fetches, topic))
        for (let i = 0; i < 15; i++) yield* Effect.andThen(TestClock.adjust(1000), settle)
        broker.append(3)
        yield* settle
        broker.append(3)
        yield* settle
        const before = broker.requests.length
        for (let i = 0; i < 50; i++) {
          broker.append(3)
          yield* settle
        }
        assert.strictEqual(tables[3]!.state.position, 52)
        const asked = broker.requests.slice(before).map(({ topics }) => topics.length)
        assert.strictEqual(asked.length, 50)
        assert.isAtMost(Math.max(...asked), 2)
        assert.isAtMost(broker.connections.size, 3)
      })
    )
  )

  it.effect("of a table that is far behind are asked alone, so that nobody waits for its large answers", () =>
    withBroker((broker, shared) =>
      Effect.gen(function* () {
        const fetches = yield* shared(1)
        const megabyte = 2 ** 20
        yield* Effect.forEach([1, 2, 3], (topic) => follow(fetches, topic))
        const large = yield* follow(fetches, 0, () => Effect.void, megabyte)
        yield* settle
        broker.append(0, 10_000)
        yield* settle
        yield* settle
        for (let i = 0; i < 20; i++) broker.append(0, 10_000)
        const before = broker.requests.length
        for (let i = 0; i < 5; i++) yield* settle
        assert.strictEqual(large.state.position, 210_000)
        const asked = broker.requests.slice(before).filter(({ topics }) => topics.some(({ topic }) => topic === "t0"))
        assert.isAbove(asked.length, 15)
        assert.isTrue(asked.every(({ topics }) => topics.length === 1))
        // Once it has nothing more it is as quiet as the others.
        for (let i = 0; i < 40; i++) yield* Effect.andThen(TestClock.adjust(1000), settle)
        assert.strictEqual(broker.connections.size, 1)
      })
    )
  )

  it.effect("are not kept waiting by a poll that is under way", () =>
    withBroker((broker, shared) =>
      Effect.gen(function* () {
        const fetches = yield* shared(1)
        yield* follow(fetches, 0)
        yield* settle
        broker.append(1, 3)
        const table = yield* follow(fetches, 1)
        yield* settle
        assert.strictEqual(table.state.position, 3)
      })
    )
  )

  it.effect("wait for a short poll at most where as many connections as there may be are polling", () =>
    withBroker((broker, shared) =>
      Effect.gen(function* () {
        const fetches = yield* shared(1)
        for (let i = 0; i < 8; i++) yield* follow(fetches, 0)
        for (let i = 0; i < 12; i++) yield* Effect.andThen(TestClock.adjust(1000), settle)
        assert.strictEqual(broker.connections.size, 8)
        // The first after a quiet time finds none that polls for a short time.
        broker.append(1, 3)
        const { state } = yield* follow(fetches, 1)
        yield* settle
        assert.deepStrictEqual([state.position, broker.connections.size], [3, 9])
        for (const topic of [2, 3, 4]) {
          broker.append(topic, 3)
          const { state } = yield* follow(fetches, topic)
          yield* settle
          yield* TestClock.adjust(100)
          yield* settle
          assert.deepStrictEqual([state.position, broker.connections.size], [3, 9])
        }
      })
    )
  )

  it.effect("of one topic poll for as long as they would alone, while no others come", () =>
    withBroker((broker, shared) =>
      Effect.gen(function* () {
        const fetches = yield* shared(1)
        const tables = yield* Effect.forEach(Array.from({ length: 12 }), () => follow(fetches, 0))
        for (let i = 0; i < 20; i++) yield* Effect.andThen(TestClock.adjust(100), settle)
        const [requests, answers] = [broker.requests.length, tables.map(({ state }) => state.answers)]
        for (let i = 0; i < 100; i++) yield* Effect.andThen(TestClock.adjust(100), settle)
        const polls = tables.reduce((sum, { state }, i) => sum + state.answers - answers[i]!, 0)
        assert.isAbove(polls, 0)
        // Lanes may have asked for what others took over.
        assert.isAtMost(broker.requests.length - requests, 2 * polls)
      })
    )
  )

  it.effect("fail when the client is closed while they wait for a connection that could carry them", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const broker = makeBroker()
        const client = yield* Scope.make()
        const fetches = yield* SharedFetches.make(yield* Clock.Clock, client, () => broker.open)(1)
        for (let i = 0; i < 8; i++) yield* follow(fetches, 0)
        for (let i = 0; i < 12; i++) yield* Effect.andThen(TestClock.adjust(1000), settle)
        // The first after a quiet time has a connection opened for it.
        yield* Effect.andThen(follow(fetches, 2), settle)
        const asking = yield* Effect.forkScoped(
          Effect.flip(fetches.fetch(new SharedFetches.Asker(), questionOf(1, 0))),
          {
            startImmediately: true
          }
        )
        yield* settle
        assert.isFalse(broker.requests.some(({ topics }) => topics.some(({ topic }) => topic === "t1")))
        yield* Scope.close(client, Exit.void)
        const error = yield* within("the failure", 1000, Fiber.join(asking))
        assert.strictEqual(error._tag, "ConnectionFailed")
      })
    )
  )

  it.effect("leave before what was answered is read", () =>
    withBroker((broker, shared) =>
      Effect.gen(function* () {
        const fetches = yield* shared(1)
        yield* follow(fetches, 1)
        const asker = new SharedFetches.Asker()
        const asking = yield* Effect.forkScoped(
          Effect.gen(function* () {
            yield* fetches.fetch(asker, questionOf(0, 0))
            const before = broker.requests.length
            yield* Effect.forkScoped(fetches.fetch(asker, questionOf(0, 1)), { startImmediately: true })
            return broker.requests.length - before
          }),
          { startImmediately: true }
        )
        yield* settle
        broker.append(0)
        yield* settle
        assert.strictEqual(yield* Fiber.join(asking), 1)
      })
    )
  )

  it.effect("are answered when their own wait is over, however short or long the others' are", () =>
    withBroker((broker, shared) =>
      Effect.gen(function* () {
        const fetches = yield* shared(1)
        const long = yield* follow(fetches, 0)
        const short = yield* Effect.forkScoped(
          fetches.fetch(new SharedFetches.Asker(), questionOf(1, 0, { maxWait: 100 })),
          { startImmediately: true }
        )
        yield* settle
        yield* TestClock.adjust(100)
        yield* settle
        assert.isDefined(short.pollUnsafe())
        assert.strictEqual(long.state.answers, 0)
        yield* TestClock.adjust(WAIT)
        yield* settle
        assert.isAtLeast(long.state.answers, 1)
        assert.isAbove(broker.requests.length, 1)
      })
    )
  )

  it.effect("whose records had no room beside others' are not said to have none", () =>
    withBroker((broker, shared) =>
      Effect.gen(function* () {
        const fetches = yield* shared(1)
        const asking = yield* Effect.forEach([0, 1], (topic) =>
          Effect.forkScoped(fetches.fetch(new SharedFetches.Asker(), questionOf(topic, 0, { maxBytes: 5 * RECORD })), {
            startImmediately: true
          })
        )
        yield* settle
        // Both are due by now, and one of them fills the answer.
        yield* TestClock.adjust(0.8 * WAIT)
        broker.ends.set(topicId(1), 5)
        broker.append(0, 5)
        yield* settle
        const [full, leftOut] = yield* Effect.forEach(asking, Fiber.join)
        assert.deepStrictEqual(
          [full, leftOut].map((answer) => answer?.partitions.map(({ records }) => records.length)),
          [[5 * RECORD], [0]]
        )
        assert.isTrue(leftOut?.isCrowded)
      })
    )
  )

  it.effect("of one topic do not stand in one request, which would answer one of them", () =>
    withBroker((broker, shared) =>
      Effect.gen(function* () {
        const fetches = yield* shared(1)
        broker.append(0, 5)
        const tables = yield* Effect.forEach([1, 2, 3, 4], () => follow(fetches, 0))
        for (let i = 0; i < 10; i++) yield* Effect.andThen(TestClock.adjust(1000), settle)
        broker.append(0, 2)
        yield* settle
        assert.deepStrictEqual(
          tables.map(({ state }) => state.position),
          [7, 7, 7, 7]
        )
        for (const { topics } of broker.requests) {
          assert.strictEqual(new Set(topics.map(({ topicId }) => topicId)).size, topics.length)
        }
      })
    )
  )

  it.effect("fail with their connection, each of them, and are asked over another one", () =>
    withBroker((broker, shared) =>
      Effect.gen(function* () {
        const fetches = yield* shared(1)
        const asking = yield* Effect.forEach([0, 1], (topic) =>
          Effect.forkScoped(Effect.flip(fetches.fetch(new SharedFetches.Asker(), questionOf(topic, 0))), {
            startImmediately: true
          })
        )
        broker.broken.next = new ConnectionFailed({ broker: "b:1", request: "Fetch", detail: "it is gone" })
        yield* settle
        for (const fiber of asking) assert.strictEqual((yield* Fiber.join(fiber))._tag, "ConnectionFailed")
        broker.append(0)
        const table = yield* follow(fetches, 0)
        yield* settle
        assert.deepStrictEqual([table.state.position, broker.connections.size], [1, 1])
      })
    )
  )

  it.effect("of connections that are good go on where another one cannot be opened", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const broker = makeBroker()
        const refused = new ConnectionFailed({ broker: "b:1", request: "connect", detail: "too many connections" })
        let opened = 0
        const shared = SharedFetches.make(yield* Clock.Clock, yield* Effect.scope, () =>
          Effect.suspend((): Effect.Effect<Effect.Effect<BrokerConnection, KafkaError>, never, Scope.Scope> =>
            opened++ === 0 ? broker.open : Effect.succeed(Effect.fail(refused))
          )
        )
        const { fetch } = yield* shared(1)
        const polling = yield* Effect.forkScoped(fetch(new SharedFetches.Asker(), questionOf(0, 0)), {
          startImmediately: true
        })
        yield* settle
        assert.strictEqual(yield* Effect.flip(fetch(new SharedFetches.Asker(), questionOf(1, 0))), refused)
        assert.isUndefined(polling.pollUnsafe())
        broker.append(0)
        yield* settle
        assert.strictEqual((yield* Fiber.join(polling))?.partitions[0]?.records.length, RECORD)
      })
    )
  )

  it.effect("are asked by each alone where an answer cannot be read, or topics have no ids", () =>
    withBroker((broker, shared) =>
      Effect.gen(function* () {
        const fetches = yield* shared(1)
        const ask = fetches.fetch(new SharedFetches.Asker(), questionOf(0, 0, { maxWait: 0 }))
        broker.broken.next = new MalformedAnswer({ broker: "b:1", request: "Fetch", detail: "cut short" })
        assert.isUndefined(yield* ask)
        assert.isDefined(yield* ask)
        broker.broken.next = new UnsupportedRequest({ broker: "b:1", request: "Fetch", detail: "12 at most" })
        assert.isUndefined(yield* ask)
        const before = broker.requests.length
        assert.isUndefined(yield* ask)
        assert.strictEqual(broker.requests.length, before)
      })
    )
  )

  it.effect("are told of a throttle, all that were asked", () =>
    withBroker((broker, shared) =>
      Effect.gen(function* () {
        const fetches = yield* shared(1)
        const asking = yield* Effect.forEach([0, 1], (topic) =>
          Effect.forkScoped(fetches.fetch(new SharedFetches.Asker(), questionOf(topic, 0)), { startImmediately: true })
        )
        yield* settle
        broker.throttle(700)
        yield* settle
        for (const fiber of asking) {
          const answer = yield* Fiber.join(fiber)
          assert.deepStrictEqual([answer?.throttle, answer?.partitions], [700, []])
        }
      })
    )
  )

  it.effect("are asked together from the ninth fetcher of a broker on, until one has left", () =>
    withBroker((_, shared) =>
      Effect.gen(function* () {
        const first = yield* shared(1)
        for (let n = 2; n <= 8; n++) yield* shared(1)
        const ninth = yield* Scope.make()
        assert.isFalse(first.areMany())
        yield* Scope.provide(shared(1), ninth)
        yield* shared(2)
        assert.isTrue(first.areMany())
        yield* Scope.close(ninth, Exit.void)
        assert.isFalse(first.areMany())
      })
    )
  )

  it.effect("are ended with their client, and leave no connection where nobody asks any more", () =>
    withBroker((broker, shared) =>
      Effect.gen(function* () {
        const [first, second] = [yield* Scope.make(), yield* Scope.make()]
        const one = yield* Scope.provide(shared(1), first)
        assert.strictEqual(yield* Scope.provide(shared(1), second), one)
        const asking = yield* Effect.forkScoped(Effect.exit(one.fetch(new SharedFetches.Asker(), questionOf(0, 0))), {
          startImmediately: true
        })
        yield* settle
        yield* Scope.close(first, Exit.void)
        assert.strictEqual(broker.connections.size, 1)
        yield* Scope.close(second, Exit.void)
        yield* settle
        assert.strictEqual(broker.connections.size, 0)
        assert.isTrue(Exit.isFailure(yield* Fiber.join(asking)))
        assert.isUndefined(yield* one.fetch(new SharedFetches.Asker(), questionOf(0, 0)))
      })
    )
  )

  for (const seed of seedsOf(60, 2000)) {
    it.effect(`are each answered by a request that left with them, as soon as there is something (seed ${seed})`, () =>
      withBroker((broker, shared) =>
        Effect.gen(function* () {
          const { below, happens, pick } = chance(seed)
          const fetches = yield* shared(1)
          const topics = 1 + below(60)
          const scope = yield* Scope.make()
          const tables: Array<{
            topic: number
            state: { position: number; answers: number }
            fiber: Fiber.Fiber<unknown, unknown>
          }> = []
          /** Tables are late now and then. */
          let isLate = true
          const failures: Array<string> = []
          const onAnswer = (answer: FetchAnswer, question: FetchRequest): Effect.Effect<void> =>
            Effect.suspend(() => {
              const [part] = answer.partitions
              const asked = question.partitions[0]!
              if (answer.throttle > 0) return Effect.void
              if (part?.logStartOffset !== asked.lastFetchedEpoch) failures.push("an answer to another question")
              if (!broker.requests.some(({ topics }) => topics.includes(question))) failures.push("never asked")
              const isLeftOut =
                part!.errorCode === 0 && part!.records.length === 0 && part!.highWatermark > asked.fetchOffset
              if (isLeftOut && answer.isCrowded !== true) failures.push("taken for empty")
              return isLate && happens(0.1) ? Effect.sleep(below(30)) : Effect.void
            })
          const join = Effect.gen(function* () {
            const topic = below(topics)
            const made = yield* Scope.provide(follow(fetches, topic, onAnswer), scope)
            tables.push({ topic, ...made })
          })
          for (let step = 0; step < 120; step++) {
            const what = below(100)
            if (what < 25) yield* join
            else if (what < 65) broker.append(below(topics), 1 + below(30))
            else if (what < 75 && tables.length > 0) {
              yield* Fiber.interrupt(tables.splice(below(tables.length), 1)[0]!.fiber)
            } else if (what < 80) {
              // For a while, as an election does.
              const topic = below(topics)
              broker.fail(topic, ErrorCode.NOT_LEADER_OR_FOLLOWER)
              yield* settle
              broker.failing.delete(topicId(topic))
            } else if (what < 83) {
              broker.throttle(pick([5, 50]))
              yield* settle
              broker.throttle(0)
            } else yield* TestClock.adjust(below(3000))
            if (happens(0.7)) yield* settle
          }
          isLate = false
          // Nobody is left waiting although there is something: neither for the end of a poll, nor for room.
          for (let turn = 0; turn < 8; turn++) yield* Effect.andThen(TestClock.adjust(60), settle)
          for (const { state, topic } of tables) {
            assert.strictEqual(state.position, broker.ends.get(topicId(topic)) ?? 0, `t${topic}`)
          }
          assert.deepStrictEqual(failures, [])
          for (const { topics } of broker.requests) {
            assert.strictEqual(new Set(topics.map(({ topicId }) => topicId)).size, topics.length)
          }
          // Everybody is asked again in time, and nothing is kept that nobody asks for.
          const answers = tables.map(({ state }) => state.answers)
          for (let turn = 0; turn < 12; turn++) yield* Effect.andThen(TestClock.adjust(1000), settle)
          for (const [i, { state }] of tables.entries()) assert.isAbove(state.answers, answers[i]!)
          for (let turn = 0; turn < 20; turn++) yield* Effect.andThen(TestClock.adjust(1000), settle)
          // Tables of one topic cannot be asked together.
          const same = tables.map((one) => tables.filter(({ topic }) => topic === one.topic).length)
          assert.isAtMost(broker.connections.size, Math.max(0, ...same) + 1)
          yield* Scope.close(scope, Exit.void)
        })
      )
    )
  }
})
