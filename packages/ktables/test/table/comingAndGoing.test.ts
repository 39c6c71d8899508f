import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, HashMap, Option, Scope, Stream } from "effect"
import { Cell } from "../../src/internal/table/cell.ts"
import { Contents } from "../../src/internal/table/contents.ts"
import { chance } from "../support/chance.ts"
import { eventually } from "./fixtures.ts"

const keys = ["a", "b", "c", "d", "e"]

describe("subscribers that come and go", () => {
  for (let seed = 1; seed <= 40; seed++) {
    it.effect(`hold at every step what the table held (seed ${seed})`, () =>
      Effect.gen(function* () {
        const { below, happens, pick } = chance(seed)
        const contents = new Contents<string, number>()
        const cell = new Cell<string, number, never>({ name: "numbers", contents, same: Object.is, capacity: 6 })
        const { feed } = cell
        /** Whoever is woken may do this at once: within the handing out, and before it. */
        const reenter: Effect.Effect<void> = Effect.suspend(() =>
          happens(0.25) && joined < 40 ? join : happens(0.2) ? leave : Effect.void
        )
        const scope = yield* Scope.make()
        const reached = (): void => void Effect.runFork(reenter)
        let joined = 0
        let slow = Deferred.makeUnsafe<void>()
        const members = new Map<Fiber.Fiber<unknown, unknown>, () => void>()
        const failures: Array<unknown> = []
        const fork = Effect.fnUntraced(function* (follow: Effect.Effect<void, unknown>, check: () => void) {
          joined++
          const telling = Effect.tapCause(follow, (cause) =>
            Effect.sync(() => Cause.hasInterruptsOnly(cause) || failures.push(Cause.squash(cause)))
          )
          const fiber = yield* Effect.forkIn(telling, scope, { startImmediately: true })
          members.set(fiber, check)
        })
        const follower = Effect.suspend(() => {
          let map = HashMap.empty<string, number>()
          const isSlow = happens(0.3)
          const follow = Stream.runForEach(
            feed.deliveries,
            Effect.fnUntraced(function* (delivery) {
              if (delivery._tag === "Snapshot") map = delivery.entries
              else {
                for (const change of delivery.batches.flat()) {
                  const previous = change._tag === "Set" ? change.previous : Option.some(change.previous)
                  assert.deepStrictEqual(
                    previous,
                    HashMap.get(map, change.key),
                    "a change follows what was heard before"
                  )
                  map =
                    change._tag === "Set" ? HashMap.set(map, change.key, change.value) : HashMap.remove(map, change.key)
                }
              }
              if (isSlow) yield* Deferred.await(slow)
              yield* reenter
            })
          )
          return fork(follow, () =>
            assert.deepStrictEqual(Object.fromEntries(map), Object.fromEntries(cell.contents.entries()))
          )
        })
        const watcher = Effect.suspend(() => {
          const key = pick(keys)
          const isSlow = happens(0.3)
          let value: Option.Option<number> | undefined
          const follow = Stream.runForEach(
            feed.watch(key),
            Effect.fnUntraced(function* (heard) {
              if (value !== undefined) assert.notDeepEqual(heard, value, "a value is heard once")
              value = heard
              if (isSlow) yield* Deferred.await(slow)
              yield* reenter
            })
          )
          return fork(follow, () => assert.deepStrictEqual(value, cell.contents.find(key)))
        })
        const join = Effect.suspend(() => (happens(0.5) ? follower : watcher))
        const leave = Effect.suspend(() => {
          const fiber = [...members.keys()][below(members.size)]
          if (fiber === undefined) return Effect.void
          members.delete(fiber)
          return Effect.asVoid(Effect.forkIn(Fiber.interrupt(fiber), scope, { startImmediately: true }))
        })

        /** Every value is another, so that each write is a change. */
        let n = 0
        const write = (into: Contents<string, number>): void => {
          const key = pick(keys)
          if (happens(0.3)) into.delete(key)
          else into.set(key, n++)
        }
        for (let step = 0; step < 60; step++) {
          if (happens(0.1)) {
            const next = new Contents<string, number>()
            next.mutate(() => {
              for (const [key, value] of cell.contents) if (happens(0.7)) next.set(key, value)
              for (let i = below(4); i > 0; i--) write(next)
            }, false)
            yield* cell.replace(next, reached)
          } else {
            cell.commit(() => {
              for (let i = below(5); i > 0; i--) write(cell.contents)
            }, reached)
          }
          if (happens(0.2)) {
            const before = slow
            slow = Deferred.makeUnsafe()
            Deferred.doneUnsafe(before, Effect.void)
          }
        }
        Deferred.doneUnsafe(slow, Effect.void)
        assert.isAbove(joined, 0)
        let wrong: unknown = "not looked"
        const isRight = () => {
          try {
            for (const check of members.values()) check()
            wrong = undefined
          } catch (error) {
            wrong = error
          }
          return wrong === undefined
        }
        yield* Effect.catchCause(eventually("all hold what the table holds", isRight), () => Effect.die(wrong))
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(failures, [])
        assert.isFalse(feed.wantsChanges)
      }).pipe(Effect.scoped)
    )
  }
})
