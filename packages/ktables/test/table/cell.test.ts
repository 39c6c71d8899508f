/** How changes reach what stands on a table: a small operator of keys stands for all those that may be attached. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Stream } from "effect"
import { Cell } from "../../src/internal/table/cell.ts"
import { Commit, type Dependent, type Receiver, type Replacement } from "../../src/internal/table/commit.ts"
import { type Change, Contents, type Written } from "../../src/internal/table/contents.ts"
import { TopicDeleted } from "../../src/TableError.ts"
import { chance } from "../support/chance.ts"

type Numbers = Cell<string, number, TopicDeleted>

const cellOf = (height = 0): Numbers =>
  new Cell({ name: "numbers", contents: new Contents<string, number>(), same: Object.is, capacity: 1000, height })

const nothing = () => {}

const put = (cell: Numbers, entries: Record<string, number | undefined>, reached: () => void = nothing): void =>
  cell.commit(() => {
    for (const [key, value] of Object.entries(entries)) {
      if (value === undefined) cell.contents.delete(key)
      else cell.contents.set(key, value)
    }
  }, reached)

const contentsOf = (entries: Record<string, number>): Contents<string, number> => {
  const contents = new Contents<string, number>()
  contents.mutate(() => Object.entries(entries).forEach(([key, value]) => contents.set(key, value)), false)
  return contents
}

const record = (contents: Contents<string, number>): Record<string, number> =>
  Object.fromEntries([...contents].sort(([a], [b]) => (a < b ? -1 : 1)))

/** The sum of a key's values in all sources; absent where it is absent in one. */
class Sum implements Receiver<string, number>, Dependent {
  readonly dependent = this
  readonly height: number
  readonly cell: Numbers
  readonly sources: ReadonlyArray<Numbers>
  runs = 0
  readonly #pending = new Set<string>()
  readonly #detach: ReadonlyArray<() => void>

  constructor(...sources: ReadonlyArray<Numbers>) {
    this.sources = sources
    this.height = 1 + Math.max(...sources.map(({ height }) => height))
    this.cell = cellOf(this.height)
    const contents = sources.map(({ contents }) => contents)
    this.cell.commit(() => this.#write(contents, this.cell.contents, this.#keysOf(contents)), nothing)
    this.#detach = sources.map((source) => source.attach(this))
  }

  detach(): void {
    for (const detach of this.#detach) detach()
  }

  receive({ changes }: Written<string, number>): void {
    for (const { key } of changes) this.#pending.add(key)
  }

  // Its roots are not replaced while others change.
  receiveNext(): void {}

  propagate(commit: Commit): void {
    this.runs++
    const contents = this.sources.map(({ contents }) => contents)
    this.cell.write(commit, () => this.#write(contents, this.cell.contents, this.#pending))
    this.#pending.clear()
  }

  prepare(replacement: Replacement): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      this.runs++
      yield* Effect.yieldNow
      const next = new Contents<string, number>()
      const contents = this.sources.map((source) => replacement.nextOf(source) ?? source.contents)
      next.mutate(() => this.#write(contents, next, this.#keysOf(contents)), false)
      this.cell.prepare(replacement, next, false)
    })
  }

  /** What it has to contain. */
  get wanted(): Contents<string, number> {
    const wanted = new Contents<string, number>()
    const contents = this.sources.map(({ contents }) => contents)
    wanted.mutate(() => this.#write(contents, wanted, this.#keysOf(contents)), false)
    return wanted
  }

  #keysOf(contents: ReadonlyArray<Contents<string, number>>): ReadonlySet<string> {
    return new Set(contents.flatMap((one) => one.keys()))
  }

  #write(from: ReadonlyArray<Contents<string, number>>, to: Contents<string, number>, keys: ReadonlySet<string>): void {
    for (const key of keys) {
      let sum: number | undefined = 0
      for (const contents of from) {
        const value = contents.get(key)
        sum = sum === undefined || value === undefined ? undefined : sum + value
      }
      if (sum === undefined) to.delete(key)
      else if (!Object.is(to.get(key), sum)) to.set(key, sum)
    }
  }
}

/** Runs `look` on the stack of whoever hands out a change of the table. */
const onChange = (cell: Numbers, look: (changes: ReadonlyArray<Change<string, number>>) => void) =>
  Effect.forkScoped(
    Stream.runForEach(cell.feed.deliveries, (delivery) =>
      Effect.sync(() => {
        if (delivery._tag === "Batches") delivery.batches.forEach(look)
      })
    ),
    { startImmediately: true }
  )

describe("a commit", () => {
  it.effect("reaches everything that stands on the table, each once, before anybody is resumed", () =>
    Effect.gen(function* () {
      const root = cellOf()
      const [left, right] = [new Sum(root), new Sum(root, root)]
      const top = new Sum(left.cell, right.cell, root)
      const seen: Array<readonly [who: string, top: number | undefined]> = []
      yield* onChange(top.cell, () => seen.push(["top", top.cell.contents.get("a")]))
      yield* onChange(root, () => seen.push(["root", top.cell.contents.get("a")]))
      put(root, { a: 1 }, () => seen.push(["reached", top.cell.contents.get("a")]))
      put(root, { a: 2 }, () => seen.push(["reached", top.cell.contents.get("a")]))
      assert.deepStrictEqual(seen, [
        ["reached", 4],
        ["root", 4],
        ["top", 4],
        ["reached", 8],
        ["root", 8],
        ["top", 8]
      ])
      assert.deepStrictEqual([left.runs, right.runs, top.runs], [2, 2, 2])
    })
  )

  it.effect("that changes nothing moves positions and wakes nobody else", () =>
    Effect.gen(function* () {
      const root = cellOf()
      const sum = new Sum(root)
      let heard = 0
      let reached = 0
      yield* onChange(root, () => heard++)
      put(root, {}, () => reached++)
      put(root, { absent: undefined }, () => reached++)
      assert.deepStrictEqual([heard, reached, sum.runs, root.contents.version], [0, 2, 0, 0])
    })
  )

  it.effect("that is made by who another one resumed is published after that one, with both contents in step", () =>
    Effect.gen(function* () {
      const [a, b] = [cellOf(), cellOf()]
      const both = new Sum(a, b)
      put(b, { x: 10 })
      const sums: Array<number | undefined> = []
      yield* onChange(both.cell, (changes) =>
        changes.forEach((change) => sums.push(change._tag === "Set" ? change.value : undefined))
      )
      yield* onChange(a, () => put(b, { x: 20 }))
      put(a, { x: 1 }, () => put(b, { x: 15 }))
      assert.deepStrictEqual(sums, [11, 16, 21])
      assert.deepStrictEqual(record(both.cell.contents), { x: 21 })
    })
  )

  it.effect("that one of several followers makes reaches the others after the one that resumed it", () =>
    Effect.gen(function* () {
      const [a, b] = [cellOf(), cellOf()]
      const both = new Sum(a, b)
      put(b, { x: 10 })
      const heard: Array<ReadonlyArray<number | undefined>> = [[], []]
      for (const sums of heard as Array<Array<number | undefined>>) {
        yield* onChange(both.cell, (changes) => {
          for (const change of changes) sums.push(change._tag === "Set" ? change.value : undefined)
          if (sums.at(-1)! < 20) put(b, { x: 20 })
        })
      }
      put(a, { x: 1 })
      assert.deepStrictEqual(heard, [
        [11, 21],
        [11, 21]
      ])
    })
  )

  it("costs each of very many tables that stand on it the same", () => {
    const millisFor = (count: number): number => {
      const visited = new Set<Dependent>()
      const receivers = Array.from({ length: count }, (_, i): Receiver<string, number> => {
        const dependent: Dependent = {
          height: 1 + (i % 3),
          propagate: () => visited.add(dependent),
          prepare: () => Effect.void
        }
        return { dependent, receive: nothing, receiveNext: nothing }
      })
      const times = Array.from({ length: 5 }, () => {
        visited.clear()
        const commit = new Commit()
        const started = performance.now()
        commit.hand(receivers, { changes: [], slots: [] })
        commit.run(nothing)
        return performance.now() - started
      })
      assert.strictEqual(visited.size, count)
      const heights = Array.from(visited, ({ height }) => height)
      assert.deepStrictEqual(heights, heights.toSorted())
      return Math.min(...times)
    }
    // Eight times as many, each of which was looked for among all others, took 64 times as long.
    assert.isBelow(millisFor(40_000) / millisFor(5000), 30)
  })

  it("does not reach what was detached, also by who it resumed", () => {
    const root = cellOf()
    const sum = new Sum(root)
    put(root, { a: 1 }, () => sum.detach())
    put(root, { a: 2 })
    assert.deepStrictEqual(record(sum.cell.contents), { a: 1 })
  })
})

describe("a replacement", () => {
  it.effect("stands everywhere at once, and is handed on as its difference", () =>
    Effect.gen(function* () {
      const root = cellOf()
      put(root, { gone: 1, kept: 2, changed: 3 })
      const left = new Sum(root)
      const top = new Sum(left.cell, root)
      const changes: Array<string> = []
      yield* onChange(top.cell, (batch) => changes.push(...batch.map(({ _tag, key }) => `${_tag} ${key}`)))
      const during: Array<Record<string, number>> = []
      const replacing = yield* Effect.forkChild(
        root.replace(contentsOf({ kept: 2, changed: 4, added: 5 }), () => during.push(record(top.cell.contents)))
      )
      while (replacing.pollUnsafe() === undefined) {
        during.push(record(root.contents), record(left.cell.contents), record(top.cell.contents))
        yield* Effect.yieldNow
      }
      const before = { changed: 3, gone: 1, kept: 2 }
      const doubled = { changed: 6, gone: 2, kept: 4 }
      const after = { added: 10, changed: 8, kept: 4 }
      assert.deepInclude(during, after)
      for (const seen of during)
        assert.include(
          [before, doubled, after].map((one) => JSON.stringify(one)),
          JSON.stringify(seen)
        )
      assert.deepStrictEqual(record(top.cell.contents), after)
      assert.sameMembers(changes, ["Set changed", "Set added", "Deleted gone"])
    })
  )

  it.effect("looks at each of very many tables that stand on it a few times, and lets others run between them", () =>
    Effect.gen(function* () {
      const [count, root] = [300, cellOf()]
      let looks = 0
      let turns = 0
      const turnsBefore: Array<number> = []
      for (let n = 0; n < count; n++) {
        const dependent: Dependent = {
          height: 1,
          propagate: nothing,
          prepare: () => Effect.sync(() => void turnsBefore.push(turns))
        }
        root.attach({
          get dependent() {
            looks++
            return dependent
          },
          receive: nothing,
          receiveNext: nothing
        })
      }
      const replacing = yield* Effect.forkScoped(root.replace(contentsOf({ a: 1 }), nothing))
      while (replacing.pollUnsafe() === undefined) {
        turns++
        yield* Effect.yieldNow
      }
      assert.strictEqual(new Set(turnsBefore).size, count)
      assert.isBelow(looks, 6 * count)
      assert.deepStrictEqual(record(root.contents), { a: 1 })
    })
  )

  it.effect("takes along what attaches while it is prepared", () =>
    Effect.gen(function* () {
      const root = cellOf()
      put(root, { a: 1 })
      const first = new Sum(root)
      const replacing = yield* Effect.forkChild(root.replace(contentsOf({ a: 2 }), nothing), { startImmediately: true })
      const second = new Sum(first.cell, root)
      yield* Fiber.join(replacing)
      assert.deepStrictEqual([record(first.cell.contents), record(second.cell.contents)], [{ a: 2 }, { a: 4 }])
      put(root, { a: 3 })
      assert.deepStrictEqual(record(second.cell.contents), { a: 6 })
    })
  )
})

describe("tables that stand on others", () => {
  for (let seed = 1; seed <= 30; seed++) {
    it.effect(`are in step whenever anybody runs (seed ${seed})`, () =>
      Effect.gen(function* () {
        const { below, happens, pick } = chance(seed)
        const roots = [cellOf(), cellOf()]
        const sums: Array<Sum> = []
        const all = () => [...roots, ...sums.map(({ cell }) => cell)]
        let looks = 0
        const look = (): void => {
          looks++
          for (const { cell, wanted } of sums) assert.deepStrictEqual(record(cell.contents), record(wanted))
        }
        const failures: Array<unknown> = []
        const looking = (): void => {
          try {
            look()
          } catch (error) {
            failures.push(error)
          }
        }
        const models = new Map<Numbers, Map<string, number>>()
        const follow = (cell: Numbers) => {
          const model = new Map(cell.contents)
          models.set(cell, model)
          return onChange(cell, (changes) => {
            for (const change of changes) {
              if (change._tag === "Set") model.set(change.key, change.value)
              else model.delete(change.key)
            }
            looking()
          })
        }
        for (const root of roots) yield* follow(root)
        for (let step = 0; step < 60; step++) {
          if (sums.length < 6 && happens(0.2)) {
            const sum = new Sum(...Array.from({ length: 1 + below(3) }, () => pick(all())))
            sums.push(sum)
            yield* follow(sum.cell)
          } else if (happens(0.1)) {
            const next = Object.fromEntries(Array.from({ length: below(6) }, () => [`k${below(6)}`, below(1000)]))
            yield* pick(roots).replace(contentsOf(next), looking)
          } else {
            const changed = Array.from({ length: below(4) }, () => [
              `k${below(6)}`,
              happens(0.3) ? undefined : below(1000)
            ])
            put(pick(roots), Object.fromEntries(changed), looking)
          }
          look()
        }
        yield* Effect.yieldNow
        assert.deepStrictEqual(failures, [])
        assert.isAbove(looks, 60)
        for (const [cell, model] of models) {
          assert.deepStrictEqual(record(contentsOf(Object.fromEntries(model))), record(cell.contents))
        }
      })
    )
  }
})

describe("the end of a table's filling", () => {
  it.effect("fails who waits for it to be complete, and ends its streams", () =>
    Effect.gen(function* () {
      const error = new TopicDeleted({ topic: "numbers" })
      const cell = cellOf()
      const waiting = yield* Effect.forkChild(Effect.exit(cell.awaitCaughtUp), { startImmediately: true })
      const following = yield* Effect.forkChild(Effect.exit(Stream.runDrain(cell.feed.states)), {
        startImmediately: true
      })
      cell.fail(error)
      assert.deepStrictEqual(yield* Fiber.join(waiting), Exit.fail(error))
      assert.deepStrictEqual(yield* Fiber.join(following), Exit.fail(error))
      assert.deepStrictEqual(yield* Effect.exit(cell.failure), Exit.fail(error))
      cell.close()
      assert.strictEqual(cell.status._tag, "Closed")
      assert.deepStrictEqual(yield* Effect.exit(cell.failure), Exit.fail(error))
      assert.deepStrictEqual(cell.contents.find("a"), Option.none())
    })
  )

  it.effect("is not the end of waits while it is begun again", () =>
    Effect.gen(function* () {
      const error = new TopicDeleted({ topic: "numbers" })
      const cell = cellOf()
      cell.setStatus({ _tag: "Failed", error })
      assert.deepStrictEqual(yield* Effect.exit(cell.awaitCaughtUp), Exit.fail(error))
      cell.setStatus({ _tag: "Rebuilding", reason: error, replayed: 0, target: 0 })
      const waiting = yield* Effect.forkChild(cell.awaitCaughtUp, { startImmediately: true })
      cell.setStatus({ _tag: "CaughtUp" })
      yield* Fiber.join(waiting)
    })
  )
})
