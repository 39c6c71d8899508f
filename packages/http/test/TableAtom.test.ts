/** Tables as atoms. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, HashMap, Option, Stream } from "effect"
import { TableReplication } from "effect-ktables"
import { AsyncResult, Atom, AtomRegistry } from "effect/reactivity"
import * as TableAtom from "../src/TableAtom.ts"

const made = Effect.gen(function* () {
  const replica = TableReplication.makeReplica<string, number>("prices")
  replica.commit([["a", 1]], [])
  const registry = yield* Effect.acquireRelease(
    Effect.sync(() => AtomRegistry.make()),
    (registry) => Effect.sync(() => registry.dispose())
  )
  return { registry, replica }
})

/** Lets fibers that were woken have their turn. */
const settled = Effect.yieldNow.pipe(Effect.repeat({ times: 20 }))

describe("an atom of a table", () => {
  it.effect("has the value of its key at once, and each one after it, and is derived from", () =>
    Effect.gen(function* () {
      const { registry, replica } = yield* made
      const priceOf = TableAtom.values(replica.table)
      assert.strictEqual(priceOf("a"), priceOf("a"))
      const label = Atom.make((get) => Option.match(get(priceOf("a")), { onNone: () => "-", onSome: String }))
      const seen: Array<string> = []
      registry.subscribe(label, (text) => seen.push(text), { immediate: true })
      yield* settled
      for (const change of [["a", 2], ["b", 7], ["a"], ["a", 3]] as const) {
        replica.commit([change], [])
        yield* settled
      }
      assert.deepStrictEqual(seen, ["1", "2", "-", "3"])
      replica.close()
      yield* settled
      assert.strictEqual(registry.get(label), "3")
    }).pipe(Effect.scoped)
  )

  it.effect("has the newest entries and the status", () =>
    Effect.gen(function* () {
      const { registry, replica } = yield* made
      const entries = TableAtom.entries(replica.table)
      const status = TableAtom.status(replica.table)
      registry.mount(entries)
      registry.mount(status)
      yield* settled
      assert.strictEqual(registry.get(status)._tag, "Loading")
      replica.commit([["a"], ["b", 2]], [])
      replica.setStatus({ _tag: "CaughtUp" })
      yield* settled
      const shown = AsyncResult.value(registry.get(entries))
      assert.deepStrictEqual(
        Option.map(shown, (map) => [...HashMap.entries(map)]),
        Option.some([["b", 2]])
      )
      assert.strictEqual(registry.get(status)._tag, "CaughtUp")
    }).pipe(Effect.scoped)
  )

  it.effect("follows its table only while somebody uses it", () =>
    Effect.gen(function* () {
      const { registry, replica } = yield* made
      let followers = 0
      const count = (by: number) => Effect.sync(() => void (followers += by))
      const table: typeof replica.table = Object.assign(Object.create(replica.table), {
        watch: (key: string) => Stream.ensuring(Stream.onStart(replica.table.watch(key), count(1)), count(-1))
      })
      const price = TableAtom.values(table)("a")
      const leave = registry.subscribe(price, () => {}, { immediate: true })
      yield* settled
      assert.strictEqual(followers, 1)
      leave()
      yield* settled
      assert.strictEqual(followers, 0)
    }).pipe(Effect.scoped)
  )
})
