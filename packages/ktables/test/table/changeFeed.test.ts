import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, HashMap, Option, References, type Scope, Stream } from "effect"
import { TableClosed } from "../../src/TableError.ts"
import { ChangeFeed } from "../../src/internal/table/changeFeed.ts"
import { type Change, Contents } from "../../src/internal/table/contents.ts"
import { Brittle } from "../support/brittle.ts"
import { eventually } from "./fixtures.ts"

/** Contents and their feed, written to as a reader does. */
const feedOf = <K>(capacity = 100) => {
  const contents = new Contents<K, number>()
  const feed = new ChangeFeed<K, number, TableClosed>({ contents }, capacity)
  const write = (...entries: ReadonlyArray<readonly [K, number | undefined]>): ReadonlyArray<Change<K, number>> => {
    const { changes } = contents.mutate(() => {
      for (const [key, value] of entries) {
        if (value === undefined) contents.delete(key)
        else contents.set(key, value)
      }
    }, feed.wantsChanges)
    feed.publish(changes, contents.version)
    return changes
  }
  return { contents, feed, write }
}

/** Collects what a stream gives. */
const collect = Effect.fnUntraced(function* <A, E>(stream: Stream.Stream<A, E>) {
  const seen: Array<A> = []
  const fiber = yield* Effect.forkScoped(
    Stream.runForEach(stream, (a) => Effect.sync(() => seen.push(a))),
    { startImmediately: true }
  )
  return { seen, fiber }
})

describe("the feed of a table", () => {
  it.effect("hands changes once to a subscriber that joins while they are handed out", () =>
    Effect.gen(function* () {
      const { feed, write } = feedOf<string>()
      const folded: Array<ReadonlyArray<readonly [string, number]>> = []
      const joins = Effect.gen(function* () {
        let map = HashMap.empty<string, number>()
        yield* Effect.forkScoped(
          Stream.runForEach(feed.deliveries, (delivery) =>
            Effect.sync(() => {
              if (delivery._tag === "Snapshot") map = delivery.entries
              else {
                for (const change of delivery.batches.flat()) {
                  assert.deepStrictEqual(
                    change._tag === "Set" ? change.previous : Option.some(change.previous),
                    HashMap.get(map, change.key)
                  )
                  map =
                    change._tag === "Set" ? HashMap.set(map, change.key, change.value) : HashMap.remove(map, change.key)
                }
              }
              folded.push([...map])
            })
          ),
          { startImmediately: true }
        )
      })
      // It joins from within the handing out, since who is woken runs at once.
      yield* Effect.forkScoped(
        Stream.runForEach(feed.deliveries, ({ _tag }) => (_tag === "Batches" ? joins : Effect.void)),
        { startImmediately: true }
      )
      write(["a", 1])
      yield* eventually("joined", () => folded.length === 1)
      write(["a", 2])
      yield* eventually("heard", () => folded.length === 3)
      assert.deepStrictEqual(folded, [[["a", 1]], [["a", 2]], [["a", 2]]])
    }).pipe(Effect.scoped)
  )

  it.effect("tells a value once to a watcher that joins while it is handed out", () =>
    Effect.gen(function* () {
      const { feed, write } = feedOf<string>()
      const joined: Array<number | undefined> = []
      const watch = (onValue: (value: number | undefined) => Effect.Effect<unknown, never, Scope.Scope>) =>
        Effect.forkScoped(
          Stream.runForEach(feed.watch("a"), (value) => onValue(Option.getOrUndefined(value))),
          { startImmediately: true }
        )
      yield* watch((value) => (value === 1 ? watch((value) => Effect.sync(() => joined.push(value))) : Effect.void))
      write(["a", 1])
      yield* eventually("joined", () => joined.length === 1)
      write(["a", 2])
      yield* eventually("heard", () => joined.length === 2)
      assert.deepStrictEqual(joined, [1, 2])
    }).pipe(Effect.scoped)
  )

  it.effect("tells watchers of their key and nothing else, and makes neither changes nor a map for nobody", () =>
    Effect.gen(function* () {
      const { contents, feed, write } = feedOf<string>()
      assert.deepStrictEqual(write(["a", 1], ["b", 1]), [])
      const a = yield* collect(feed.watch("a"))
      const again = yield* collect(feed.watch("a"))
      const c = yield* collect(feed.watch("c"))
      assert.isTrue(feed.wantsChanges)
      write(["a", 2], ["b", 2])
      write(["a", undefined], ["a", 3])
      yield* eventually("all", () => a.seen.length === 4 && again.seen.length === 4)
      assert.deepStrictEqual(a.seen, [Option.some(1), Option.some(2), Option.none(), Option.some(3)])
      assert.deepStrictEqual(again.seen, a.seen)
      assert.deepStrictEqual(c.seen, [Option.none()])
      yield* Fiber.interrupt(again.fiber)
      write(["a", 4])
      yield* eventually("the other", () => a.seen.length === 5)
      assert.strictEqual(again.seen.length, 4)
      yield* Fiber.interruptAll([a.fiber, c.fiber])
      assert.isFalse(feed.wantsChanges)
      assert.isFalse(contents.hasMap)
    }).pipe(Effect.scoped)
  )

  it.effect("tells keys by what they hold", () =>
    Effect.gen(function* () {
      const { feed, write } = feedOf<{ readonly id: number }>()
      const one = yield* collect(feed.watch({ id: 1 }))
      write([{ id: 2 }, 2], [{ id: 1 }, 1])
      yield* eventually("both", () => one.seen.length === 2)
      assert.deepStrictEqual(one.seen, [Option.none(), Option.some(1)])
    }).pipe(Effect.scoped)
  )

  it.effect("tells a watcher that fell behind the newest value, unless it knows that", () =>
    Effect.gen(function* () {
      const { feed, write } = feedOf<string>(3)
      const seen: Array<number | undefined> = []
      let gate = Deferred.makeUnsafe<void>()
      yield* Effect.forkScoped(
        Stream.runForEach(feed.watch("a"), (value) => {
          seen.push(Option.getOrUndefined(value))
          return Deferred.await(gate)
        }),
        { startImmediately: true }
      )
      const proceed = () => {
        const before = gate
        gate = Deferred.makeUnsafe()
        Deferred.doneUnsafe(before, Effect.void)
      }
      for (let n = 1; n <= 10; n++) write(["a", n])
      proceed()
      yield* eventually("the newest", () => seen.length === 2)
      for (let n = 1; n <= 10; n++) write(["a", n])
      proceed()
      write(["a", 11])
      yield* eventually("the next", () => seen.length === 3)
      assert.deepStrictEqual(seen, [undefined, 10, 11])
    }).pipe(Effect.scoped)
  )

  it.effect("tells a subscriber that had to yield just when it found nothing", () =>
    Effect.gen(function* () {
      for (let turns = 0; turns < 80; turns++) {
        const { feed, write } = feedOf<string>()
        const yielding = Effect.provideService(References.MaxOpsBeforeYield, 3)
        const watched: Array<unknown> = []
        const followed: Array<unknown> = []
        yield* Effect.forkScoped(
          yielding(Stream.runForEach(feed.watch("a"), (value) => Effect.sync(() => watched.push(value))))
        )
        yield* Effect.forkScoped(
          yielding(Stream.runForEach(feed.deliveries, (delivery) => Effect.sync(() => followed.push(delivery))))
        )
        yield* eventually("both listen", () => watched.length === 1 && followed.length === 1)
        for (let turn = 0; turn < turns; turn++) yield* Effect.yieldNow
        write(["a", 1])
        yield* eventually(`the change after ${turns} turns`, () => watched.length === 2 && followed.length === 2)
      }
    }).pipe(Effect.scoped)
  )

  it.effect("ends the watch of a key that cannot be compared with one that changed, and no other subscriber", () =>
    Effect.gen(function* () {
      const { contents, feed } = feedOf<Brittle>()
      const watching = yield* collect(feed.watch(new Brittle("a")))
      const following = yield* collect(feed.deliveries)
      const { changes } = contents.mutate(() => contents.set(new Brittle("b"), 1), true)
      Brittle.isBroken = true
      feed.publish(changes, contents.version)
      const exit = yield* Fiber.await(watching.fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      Brittle.isBroken = false
      assert.strictEqual(following.seen.length, 2)
      const again = yield* collect(feed.watch(new Brittle("b")))
      const changed = contents.mutate(() => contents.set(new Brittle("b"), 2), true)
      feed.publish(changed.changes, contents.version)
      yield* eventually("the next", () => following.seen.length === 3)
      assert.deepStrictEqual(again.seen, [Option.some(1), Option.some(2)])
    }).pipe(Effect.scoped)
  )

  it.effect("ends behind what is queued, with the table's failure or cleanly", () =>
    Effect.gen(function* () {
      for (const end of ["closed", Exit.fail(new TableClosed({ topic: "t" }))] as const) {
        const { feed, write } = feedOf<string>()
        const watching = yield* collect(feed.watch("a"))
        const following = yield* collect(feed.deliveries)
        write(["a", 1])
        feed.end(end)
        for (const { fiber } of [watching, following]) {
          const exit = yield* Fiber.await(fiber)
          assert.strictEqual(Exit.isSuccess(exit), end === "closed")
        }
        assert.deepStrictEqual(watching.seen, [Option.none(), Option.some(1)])
        assert.strictEqual(following.seen.length, 2)
        const late = yield* collect(feed.watch("a"))
        yield* Fiber.await(late.fiber)
        assert.deepStrictEqual(late.seen, [Option.some(1)])
      }
    }).pipe(Effect.scoped)
  )
})
