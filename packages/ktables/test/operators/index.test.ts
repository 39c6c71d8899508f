/** Groups of a table's entries. */
import { assert, describe, it } from "@effect/vitest"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { Data, Effect, Equal, Exit, Fiber, Hash, HashMap, Option, type Scope, Stream } from "effect"
import { Table } from "effect-ktables"
import { chance, propertyTimeout, seedsOf } from "../support/chance.ts"
import { contentsOf, hurried, onBatch, put, rootOf, shown } from "./fixtures.ts"

interface Service {
  readonly zone: string
  readonly tags: ReadonlyArray<string>
}

const services = () =>
  rootOf<string, Service>("services", [
    ["a", { zone: "eu", tags: ["x", "y"] }],
    ["b", { zone: "us", tags: [] }],
    ["c", { zone: "eu", tags: ["y", "y"] }]
  ])

const keysIn = <K extends string | number>(table: Table.Table<string, HashMap.HashMap<K, unknown>, unknown>) =>
  shown(Array.from(table.view, ([group, members]) => [group, Array.from(HashMap.keys(members)).sort().join()] as const))

setFlagsFromString("--expose-gc")
const collect = runInNewContext("gc") as () => void

/** Values that only others keep. */
const weak = () => {
  const all: Array<WeakRef<{ readonly n: number }>> = []
  return {
    made: (n: number) => {
      const value = { n }
      all.push(new WeakRef(value))
      return value
    },
    /**
     * How many are kept. What a weak reference was made to, or gave, stays until the turn is over, and what is still on its way
     * through the collector for a few more.
     */
    left: Effect.promise(async () => {
      let least = Number.POSITIVE_INFINITY
      for (let turn = 0; turn < 10; turn++) {
        await new Promise((resolve) => setImmediate(resolve))
        collect()
        least = Math.min(least, all.filter((value) => value.deref() !== undefined).length)
      }
      return least
    })
  }
}

describe("an index", () => {
  it.effect("holds the entries in groups, which go when they are emptied", () =>
    Effect.gen(function* () {
      const root = services()
      const byZone = yield* root.table.pipe(Table.index(({ zone }) => zone))
      const byTag = yield* root.table.pipe(Table.index(({ tags }) => tags))
      assert.deepStrictEqual(keysIn(byZone), [["eu", "a,c"], ["us", "b"]]) // prettier-ignore
      assert.deepStrictEqual(keysIn(byTag), [["x", "a"], ["y", "a,c"]]) // prettier-ignore
      put(root, [["a", { zone: "us", tags: ["z"] }], ["c", undefined]]) // prettier-ignore
      assert.deepStrictEqual(keysIn(byZone), [["us", "a,b"]])
      assert.deepStrictEqual(keysIn(byTag), [["z", "a"]])
      assert.deepStrictEqual([yield* byZone.has("eu"), yield* byZone.size], [false, 1])
      assert.deepStrictEqual(yield* byZone.get("eu"), Option.none())
    })
  )

  it.effect("gives a map of one version, which later changes leave as it is", () =>
    Effect.gen(function* () {
      const root = services()
      const byZone = yield* Table.index(root.table, ({ zone }) => zone)
      const before = byZone.view.get("eu")!
      put(root, [["d", { zone: "eu", tags: [] }]])
      const after = byZone.view.get("eu")!
      assert.deepStrictEqual([HashMap.size(before), HashMap.size(after)], [2, 3])
      assert.strictEqual(byZone.view.get("eu"), after)
    })
  )

  it.effect("of a large group is read in slices by what comes to stand on it, also while it is written", () =>
    Effect.gen(function* () {
      yield* hurried
      const hosts = Array.from({ length: 5000 }, (_, n) => `host-${n}`)
      const root = rootOf("hosts", hosts.map((host, n) => [host, n])) // prettier-ignore
      const all = yield* Table.index(root.table, () => "all")
      const making = yield* Effect.forkScoped(Table.map(all, HashMap.size), { startImmediately: true })
      let turns = 0
      do {
        put(root, [[hosts[turns++]!, -1]])
        yield* Effect.yieldNow
      } while (making.pollUnsafe() === undefined)
      // Made within a commit, it would be there after the first.
      assert.isAbove(turns, 3)
      assert.strictEqual((yield* Fiber.join(making)).view.get("all"), 5000)
    })
  )

  it.effect("of a large group is compared in slices when its source is replaced, and is not passed on then", () =>
    Effect.gen(function* () {
      yield* hurried
      let compared = 0
      class Host {
        readonly number: number
        constructor(number: number) {
          this.number = number
        }
        [Equal.symbol](that: unknown): boolean {
          compared++
          return that instanceof Host && that.number === this.number
        }
        [Hash.symbol](): number {
          return this.number
        }
      }
      const entries = (last: number) =>
        Array.from({ length: 5000 }, (_, n) => [new Host(n), n < 4999 ? n : last] as const)
      const root = rootOf("hosts", entries(4999))
      const all = yield* Table.index(root.table, () => "all")
      const batches: Array<unknown> = []
      yield* onBatch(all, (changes) => batches.push(changes.map(({ key }) => key)))
      for (let turn = 0; turn < 100; turn++) yield* Effect.yieldNow
      const seen: Array<number> = []
      for (const last of [4999, -1]) {
        const next = contentsOf(entries(last))
        const replacing = yield* Effect.forkScoped(
          root.cell.replace(next, () => {}),
          { startImmediately: true }
        )
        while (replacing.pollUnsafe() === undefined) {
          compared = 0
          yield* Effect.yieldNow
          seen.push(compared)
        }
      }
      assert.isBelow(Math.max(...seen), 200)
      assert.isAbove(
        seen.reduce((sum, n) => sum + n, 0),
        5000
      )
      assert.deepStrictEqual(batches, [["all"]])
    })
  )

  it.effect("keeps nothing of what has left a group, also where somebody has begun to read it and went away", () =>
    Effect.gen(function* () {
      yield* hurried
      const weakly = weak()
      const root = rootOf(
        "hosts",
        Array.from({ length: 2000 }, (_, n) => [`host-${n}`, { n }])
      )
      const all = yield* Table.index(root.table, () => "all")
      const reading = yield* Effect.forkScoped(all.snapshot, { startImmediately: true })
      yield* Fiber.interrupt(reading)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(reading)))
      for (let n = 0; n < 20_000; n++) {
        put(root, [["temporary", weakly.made(n)]])
        put(root, [["temporary", undefined]])
      }
      assert.isBelow(yield* weakly.left, 3000)
      assert.strictEqual(HashMap.size(all.view.get("all")!), 2000)
    })
  )

  it.effect("keeps no map of what a group was when somebody last followed it", () =>
    Effect.gen(function* () {
      const weakly = weak()
      let made = 0
      const entries = () => Array.from({ length: 2000 }, (_, n) => [`host-${n}`, weakly.made(made++)] as const)
      const root = rootOf("hosts", entries())
      const all = yield* Table.index(root.table, () => "all")
      yield* Effect.scoped(Effect.andThen(Table.map(all, HashMap.size), () => Effect.sync(() => put(root, entries()))))
      for (let n = 0; n < 6; n++) put(root, entries())
      assert.isBelow(yield* weakly.left, 3000)
    })
  )

  it.effect("hands on one change of a group for all that a commit does to it", () =>
    Effect.gen(function* () {
      const root = rootOf<string, number>("numbers", [
        ["a", 1],
        ["b", 2],
        ["c", 3]
      ])
      const byParity = yield* Table.index(root.table, (n) => n % 2)
      const changes: Array<unknown> = []
      yield* onBatch(byParity, (batch) =>
        changes.push(
          batch.map((change) => {
            const previous = change._tag === "Set" ? Option.getOrUndefined(change.previous) : change.previous
            return [
              change.key,
              change._tag === "Set" ? shown(HashMap.entries(change.value)) : undefined,
              previous && shown(HashMap.entries(previous))
            ]
          })
        )
      )
      put(root, [["a", 5], ["d", 7], ["a", 9]]) // prettier-ignore
      put(root, [["b", undefined], ["e", undefined]]) // prettier-ignore
      put(root, [["a", 9]])
      put(root, [["f", 2], ["f", undefined]]) // prettier-ignore
      assert.deepStrictEqual(changes, [
        [[1, [["a", 9], ["c", 3], ["d", 7]], [["a", 1], ["c", 3]]]],
        [[0, undefined, [["b", 2]]]]
      ]) // prettier-ignore
    })
  )

  it.effect("takes whatever is a key: structs, undefined, arrays within arrays", () =>
    Effect.gen(function* () {
      class Zone extends Data.Class<{ readonly name: string }> {}
      const root = rootOf<string, string | undefined>("zones", [
        ["a", "eu"],
        ["b", undefined],
        ["c", "eu"]
      ])
      const byStruct = yield* Table.index(root.table, (name) => ({ name }))
      const byClass = yield* Table.index(root.table, (name) => new Zone({ name: name ?? "none" }))
      const byValue = yield* Table.index(root.table, (name) => name)
      const byArray = yield* Table.index(root.table, (name) => [[name, 1] as const])
      const sizeOf = (group: HashMap.HashMap<string, unknown> | undefined) => group && HashMap.size(group)
      assert.strictEqual(sizeOf(byStruct.view.get({ name: "eu" })), 2)
      assert.strictEqual(sizeOf(byClass.view.get(new Zone({ name: "eu" }))), 2)
      assert.strictEqual(sizeOf(byArray.view.get(["eu", 1])), 2)
      assert.deepStrictEqual(shown(HashMap.entries(byValue.view.get(undefined)!)), [["b", undefined]])
      put(root, [["a", "us"], ["c", "us"]]) // prettier-ignore
      for (const table of [byStruct, byClass, byValue, byArray]) assert.strictEqual(table.view.size, 2)
      put(root, [["b", "us"]])
      for (const table of [byStruct, byClass, byValue, byArray]) assert.strictEqual(table.view.size, 1)
    })
  )

  it.effect("fails before it has written anything when a key cannot be compared", () =>
    Effect.gen(function* () {
      const bad = {
        [Equal.symbol]: () => true,
        [Hash.symbol]: () => {
          throw new Error("no hash")
        }
      }
      const root = rootOf<string, number>("numbers", [["a", 1]])
      const table = yield* Table.index(root.table, (n) => (n === 2 ? (bad as unknown as number) : n))
      put(root, [["a", 3], ["b", 2]]) // prettier-ignore
      const error = yield* Effect.flip(table.awaitCaughtUp)
      assert.strictEqual(error._tag, "DerivationFailed")
      assert.deepStrictEqual(Array.from(table.view.keys()), [1])
    })
  )
})

describe("what stands on an index", () => {
  const size = HashMap.size<string, number>
  type Groups = Table.Table<number, HashMap.HashMap<string, number>, unknown>
  const over: Readonly<Record<string, (groups: Groups) => Effect.Effect<Table.Any, never, Scope.Scope>>> = {
    sorted: (groups) => Table.sorted(groups),
    filter: (groups) => Table.filter(groups, (group) => size(group) > 0),
    "map that hides groups in data": (groups) => Table.map(groups, (group) => ({ size: size(group), parts: [group] })),
    join: (groups) => Table.join(groups, groups, (_, group) => group),
    union: (groups) => Table.union(groups, groups),
    index: (groups) => Table.index(groups, (group) => size(group))
  }
  for (const [name, derive] of Object.entries(over)) {
    it.effect(`passes on no group that a replacement left as it was: ${name}`, () =>
      Effect.gen(function* () {
        const entries = [["a", 1], ["b", 2], ["c", 3], ["d", 3]] as const // prettier-ignore
        const root = rootOf<string, number>("numbers", entries)
        const table: Table.Any = yield* Effect.flatMap(Table.index(root.table, (n) => n), derive) // prettier-ignore
        const batches: Array<ReadonlyArray<unknown>> = []
        yield* onBatch(table, (batch) => batches.push(batch.map(({ key }) => key)))
        yield* root.cell.replace(contentsOf(entries), () => {})
        yield* root.cell.replace(contentsOf([...entries, ["e", 3]]), () => {})
        // The group of three members is another one than that of two.
        const expected = name === "index" ? [[3, 2]] : [[3]]
        assert.deepStrictEqual(batches, expected)
      })
    )
  }
})

describe("groups", () => {
  for (const seed of seedsOf(20, 2000)) {
    it.effect(
      `are what plain code makes, and their changes add up to them (seed ${seed})`,
      () =>
        Effect.gen(function* () {
          yield* hurried
          const { below, happens } = chance(seed)
          const most = 1 + below(400)
          const random = () => Array.from({ length: below(most) }, () => [`k${below(most)}`, below(60)] as const)
          const root = rootOf<string, number>("numbers", new Map(random()))
          const f = (n: number): ReadonlyArray<number> => (n % 7 === 0 ? [] : n % 5 === 0 ? [n % 3, n % 4] : [n % 4])
          const table = yield* Table.index(root.table, f)
          const wanted = () => {
            const groups = new Map<number, Map<string, number>>()
            for (const [key, n] of root.cell.contents) {
              for (const i of f(n)) groups.set(i, (groups.get(i) ?? new Map()).set(key, n))
            }
            return shown(Array.from(groups, ([i, group]) => [i, shown(group)] as const))
          }
          const contained = () => shown(table.view)
          const model = new Map<number, HashMap.HashMap<string, number>>()
          const problems: Array<unknown> = []
          const follow = Effect.forkScoped(
            Stream.runForEach(table.changes, (change) =>
              Effect.sync(() => {
                if (change._tag === "Snapshot") {
                  model.clear()
                  for (const [i, group] of change.entries) model.set(i, group)
                  return
                }
                const previous = change._tag === "Deleted" ? change.previous : Option.getOrUndefined(change.previous)
                const before = model.get(change.key)
                if (JSON.stringify(before && shown(before)) !== JSON.stringify(previous && shown(previous))) {
                  problems.push([change.key, before, previous])
                }
                if (change._tag === "Set") model.set(change.key, change.value)
                else model.delete(change.key)
              })
            ),
            { startImmediately: true }
          )
          let isFollowed = false
          for (let step = 0; step < 60; step++) {
            if (!isFollowed && happens(0.1)) {
              yield* follow
              yield* Effect.yieldNow
              isFollowed = true
            }
            if (happens(0.1)) yield* root.cell.replace(contentsOf(new Map(random())), () => {})
            const changes = Array.from({ length: below(8) }, () => [`k${below(most)}`, below(60)] as const)
            put(
              root,
              changes.map(([key, n]) => [key, happens(0.3) ? undefined : n] as const)
            )
            // Whoever reads only now and then finds groups that have changed much meanwhile.
            if (happens(0.3)) assert.deepStrictEqual(contained(), wanted())
          }
          assert.deepStrictEqual(contained(), wanted())
          yield* Effect.yieldNow
          yield* Effect.yieldNow
          assert.deepStrictEqual(problems, [])
          if (isFollowed) assert.deepStrictEqual(shown(model), wanted())
        }),
      propertyTimeout
    )
  }
})
