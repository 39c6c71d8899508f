/** What the tables and writers of one client know of a topic, described by brokers that lag. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scheduler, Scope } from "effect"
import { TestClock } from "effect/testing"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import * as TopicView from "../../src/internal/topic/topicView.ts"
import { YieldOnce } from "../support/yieldOnce.ts"
import {
  brokerError,
  describe as describeTopic,
  eventually,
  ScriptedKafka,
  TOPIC,
  until
} from "../writer/scriptedKafka.ts"

const other = "ff".repeat(16)

const setUp = Effect.fnUntraced(function* (partitions = 1) {
  const kafka = new ScriptedKafka(partitions)
  const view = yield* TopicView.acquire(kafka.client, TOPIC)
  const seen: Array<string> = []
  yield* view.subscribe(({ _tag }) => seen.push(_tag))
  yield* view.look
  return { kafka, view, seen, asked: () => kafka.calls.length }
})

/** Each partition's leader and epoch. */
const led = (view: TopicView.TopicView) =>
  view.current()!.partitions.map(({ leader, leaderEpoch }) => [leader, leaderEpoch])

const withLeader = (kafka: ScriptedKafka, leader: number, leaderEpoch: number) => ({
  ...kafka.description,
  partitions: kafka.description.partitions.map((partition) => ({ ...partition, leader, leaderEpoch }))
})

describe("the view of a topic", () => {
  it.effect("is one for all who use it, and is forgotten when nobody does", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const scopes = yield* Effect.all([Scope.make(), Scope.make()])
      const [first, second] = yield* Effect.all(
        scopes.map((scope) => Scope.provide(TopicView.acquire(kafka.client, TOPIC), scope))
      )
      assert.strictEqual(first, second)
      yield* first!.look
      yield* Scope.close(scopes[0]!, Exit.void)
      assert.isDefined((yield* Effect.scoped(TopicView.acquire(kafka.client, TOPIC))).current())
      yield* Scope.close(scopes[1]!, Exit.void)
      assert.isUndefined((yield* Effect.scoped(TopicView.acquire(kafka.client, TOPIC))).current())
    })
  )

  it.effect("who looks while a question waits shares it; who looks after it left asks again, together", () =>
    Effect.gen(function* () {
      const { asked, kafka, seen, view } = yield* setUp()
      const answer = yield* Deferred.make<void>()
      kafka.describes = [Effect.as(Deferred.await(answer), kafka.description)]
      const looks = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(view.look, { startImmediately: true }))
      assert.strictEqual(asked(), 2)
      const refresh = yield* Effect.forkChild(view.refresh(view.version()), { startImmediately: true })
      yield* Deferred.succeed(answer, undefined)
      for (const look of looks) assert.strictEqual((yield* Fiber.join(look))._tag, "Described")
      yield* Fiber.join(refresh)
      assert.strictEqual(asked(), 3)
      assert.lengthOf(seen, 3)
    })
  )

  it.effect("an asker that is interrupted takes the answer from nobody", () =>
    Effect.gen(function* () {
      const { kafka, view } = yield* setUp()
      const answer = yield* Deferred.make<void>()
      kafka.describes = [Effect.as(Deferred.await(answer), kafka.description)]
      const first = yield* Effect.forkChild(view.look, { startImmediately: true })
      const second = yield* Effect.forkChild(view.refresh(view.version()), { startImmediately: true })
      yield* Fiber.interrupt(first)
      yield* Deferred.succeed(answer, undefined)
      yield* Fiber.join(second)
      assert.strictEqual((yield* view.look)._tag, "Described")
    })
  )

  it.effect("an asker that is interrupted before any of its steps keeps nobody else from asking", () =>
    Effect.gen(function* () {
      const { view } = yield* setUp()
      let step = 1
      for (let isOver = false; !isOver; step++) {
        const scheduler = new YieldOnce(step)
        const asker = yield* view.look.pipe(
          Effect.provideService(Scheduler.Scheduler, scheduler),
          Effect.forkChild({ startImmediately: true })
        )
        isOver = !scheduler.hasYielded
        const interrupting = yield* Effect.forkChild(Fiber.interrupt(asker), { startImmediately: true })
        const another = yield* Effect.forkChild(view.look, { startImmediately: true })
        scheduler.release()
        yield* Fiber.join(interrupting)
        assert.strictEqual((yield* eventually(Fiber.join(another)))._tag, "Described", `before step ${step}`)
        assert.strictEqual((yield* eventually(view.look))._tag, "Described", `after step ${step}`)
      }
      assert.isAbove(step, 10)
    })
  )

  it.effect("failures are backed off from once for all who look", () =>
    Effect.gen(function* () {
      const { asked, kafka, view } = yield* setUp()
      kafka.describes = Array.from({ length: 1000 }, () => Effect.fail(brokerError(ErrorCode.REQUEST_TIMED_OUT)))
      for (let i = 0; i < 100; i++) yield* Effect.forkScoped(Effect.forever(view.look))
      yield* TestClock.adjust("10 seconds")
      assert.isBelow(asked(), 30)
      assert.isAbove(asked(), 10)
    }).pipe(Effect.scoped)
  )

  it.effect(
    "another topic id is believed when it was said twice in a row, over a moment, and is asked for at once",
    () =>
      Effect.gen(function* () {
        const { asked, kafka, seen, view } = yield* setUp()
        kafka.describes = [Effect.succeed(describeTopic({ partitions: 1, topicId: other }))]
        assert.strictEqual((yield* view.look)._tag, "Doubted")
        assert.isDefined(view.doubt())
        yield* eventually(view.settled)
        assert.strictEqual(view.current()!.generation, 0)
        assert.isUndefined(view.doubt())

        kafka.description = describeTopic({ partitions: 1, topicId: other })
        yield* view.look
        const before = asked()
        yield* TestClock.adjust("1 second")
        assert.isAtLeast(asked() - before, 1, "nobody has to ask")
        assert.deepInclude(view.current(), { generation: 1, topicId: other })
        assert.deepStrictEqual(view.change()?.current, other)
        assert.strictEqual(seen.at(-1), "Described")
      })
  )

  it.effect("a description that says no ids changes nothing", () =>
    Effect.gen(function* () {
      const { kafka, view } = yield* setUp()
      kafka.description = { ...describeTopic({ partitions: 1, clusterId: undefined }), topicId: undefined }
      yield* view.look
      yield* view.look
      assert.deepInclude(view.current(), {
        generation: 0,
        clusterId: "cluster",
        topicId: describeTopic({ partitions: 1 }).topicId
      })
    })
  )

  it.effect("an older leader epoch is not obeyed, unless it is said for seconds; partitions are not taken away", () =>
    Effect.gen(function* () {
      const { kafka, view } = yield* setUp(2)
      kafka.describes = [Effect.succeed(withLeader(kafka, 2, 5))]
      yield* view.look
      kafka.describes = [
        Effect.succeed({ ...withLeader(kafka, 1, 4), partitions: withLeader(kafka, 1, 4).partitions.slice(0, 1) })
      ]
      yield* view.look
      assert.deepStrictEqual(led(view), [
        [2, 5],
        [2, 5]
      ])
      // Without a leader it keeps the epoch that the next one's has to be above.
      kafka.describes = [Effect.succeed(withLeader(kafka, -1, -1))]
      yield* view.look
      assert.deepStrictEqual(led(view), [
        [-1, 5],
        [-1, 5]
      ])
      kafka.description = withLeader(kafka, 1, 4)
      for (let i = 0; i < 5; i++) {
        yield* view.look
        assert.deepStrictEqual(led(view)[0], [-1, 5])
      }
      yield* TestClock.adjust("3 seconds")
      yield* view.look
      assert.deepStrictEqual(led(view), [
        [1, 4],
        [1, 4]
      ])
    })
  )

  it.effect("a topic that is absent is so for certain after three times and three seconds, in a row", () =>
    Effect.gen(function* () {
      const { kafka, view } = yield* setUp()
      const absent = Effect.fail(brokerError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "Metadata"))
      const isCertain = () => {
        const latest = view.latest()!
        return latest._tag === "Absent" && latest.isCertain
      }
      kafka.describes = Array.from({ length: 3 }, () => absent)
      yield* eventually(Effect.all([view.look, view.look]))
      yield* TestClock.adjust("3 seconds")
      yield* view.look
      assert.isTrue(isCertain())
      yield* eventually(view.look)
      assert.strictEqual(view.latest()!._tag, "Described")
      kafka.describes = [absent]
      yield* view.look
      assert.isFalse(isCertain())
    })
  )

  it.effect("a defect of the client is the asker's, and later ones are answered", () =>
    Effect.gen(function* () {
      const { kafka, view } = yield* setUp()
      kafka.describes = [Effect.die(new Error("a fault of the client"))]
      assert.isTrue(Exit.isFailure(yield* Effect.exit(view.look)))
      assert.strictEqual((yield* view.look)._tag, "Described")
    })
  )

  it.effect("who still waits when it is released is not left waiting", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const scope = yield* Scope.make()
      const view = yield* Scope.provide(TopicView.acquire(kafka.client, TOPIC), scope)
      kafka.describes = [Effect.never]
      const waits = yield* Effect.forEach([1, 2], () => Effect.forkChild(view.look, { startImmediately: true }))
      yield* Effect.forkChild(view.look, { startImmediately: true })
      yield* Scope.close(scope, Exit.void)
      yield* until(() => waits.every((wait) => wait.pollUnsafe() !== undefined))
    })
  )
})
