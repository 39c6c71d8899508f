/** Tables whose entries go when they are of an age, in virtual time. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, HashMap, Schema, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { KafkaTable, KafkaTableWriter, Table, TableError, TableTopic } from "effect-ktables"
import { chance, propertyTimeout, seedsOf } from "../support/chance.ts"
import { memory, onCluster } from "../support/kafka.ts"
import { CountingClock } from "../support/subject.ts"
import { pass, settle, within } from "../support/time.ts"
import { contentsOf, hurried, onBatch, put, rootOf, shown } from "./fixtures.ts"

interface Stamped {
  readonly timestamp: number
  readonly n: number
}

/** When each record goes that a table has or had, by plain recomputation. */
class Plain {
  readonly ttl: number
  entries = new Map<string, { readonly value: Stamped; readonly deadline: number }>()
  constructor(ttl: number) {
    this.ttl = ttl
  }
  arrive(key: string, value: Stamped, wall: number, passed: number): void {
    const arrived = value.timestamp < 0 ? wall : Math.min(wall, value.timestamp)
    this.entries.set(key, { value, deadline: passed + this.ttl - (wall - arrived) })
  }
  /** The table is replaced: what is the same record arrived when it did. */
  replace(next: ReadonlyMap<string, Stamped>, now: number): void {
    const before = this.entries
    this.entries = new Map()
    for (const [key, value] of next) {
      this.arrive(key, value, now, now)
      const known = before.get(key)
      const made = this.entries.get(key)!
      if (known !== undefined && JSON.stringify(known.value) === JSON.stringify(value)) {
        this.entries.set(key, { value, deadline: Math.min(known.deadline, made.deadline) })
      }
    }
  }
  at(passed: number): Map<string, Stamped> {
    return new Map([...this.entries].flatMap(([key, { deadline, value }]) => (deadline > passed ? [[key, value]] : [])))
  }
}

interface Node {
  readonly plain: Plain
  readonly young: Table.Table<string, Stamped, unknown>
  readonly mapped: Table.Table<string, number, unknown>
  readonly grouped: Table.Table<number, HashMap.HashMap<string, Stamped>, unknown>
  readonly joined: Table.Table<string, number, unknown>
  readonly twice: Table.Table<string, Stamped, unknown>
}

const nowOf = Effect.map(Clock.Clock, (clock) => () => clock.currentTimeMillisUnsafe())

/** Runs an effect with a wall clock that `step` sets, while the monotonic one goes on. */
const withSteps = <A, E, R>(body: (step: (millis: number) => void) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Clock.Clock, (clock) => {
    let shift = 0
    const wall = () => clock.currentTimeMillisUnsafe() + shift
    return Effect.provideService(
      body((millis) => {
        shift += millis
      }),
      Clock.Clock,
      { ...clock, currentTimeMillisUnsafe: wall, currentTimeMillis: Effect.sync(wall) }
    )
  })

const stamped = (timestamp: number, n = 0): Stamped => ({ timestamp, n })

describe("a table with expire", () => {
  for (const seed of seedsOf(12, 3000)) {
    it.effect(
      `contains what is young enough, at every version, and so does what stands on it (seed ${seed})`,
      () =>
        Effect.gen(function* () {
          yield* hurried
          const { below, happens, pick } = chance(seed)
          yield* TestClock.adjust(10_000)
          const now = yield* nowOf
          // Old ones, some of the future, and some of no time at all.
          const value = (): Stamped => stamped(happens(0.1) ? -1 : now() - 3000 + below(4000), below(50))
          const entries = (most: number) =>
            new Map(Array.from({ length: below(most) }, () => [`k${below(60)}`, value()] as const))
          const root = rootOf<string, Stamped>("root", entries(120))
          const other = rootOf<string, number>("other", [["k1", 1]])
          const nodes: Array<Node> = []
          const problems: Array<string> = []
          let looks = 0
          const same = (where: string, is: unknown, should: unknown): void => {
            looks++
            const [a, b] = [JSON.stringify(is), JSON.stringify(should)]
            if (a !== b) problems.push(`${where} at ${now()}: ${a} and not ${b}`)
          }
          const look = (where: string, at: ReadonlyArray<Node> = nodes): void => {
            for (const { grouped, joined, mapped, plain, twice, young } of at) {
              const should = plain.at(now())
              same(where, shown(young.view), shown(should))
              // Of two tables each has its time in a commit of its own. What bears no time does not show there that it was
              // written again.
              if (at === nodes) {
                const dated = (entries: Iterable<readonly [string, Stamped]>) =>
                  shown([...entries].filter(([, { timestamp }]) => timestamp >= 0))
                same(
                  where,
                  dated(twice.view),
                  dated([...should].filter(([, { timestamp }]) => now() < timestamp + 5000))
                )
              }
              same(where, shown(mapped.view), shown([...should].map(([key, { n }]) => [key, n % 7])))
              same(
                where,
                shown(joined.view),
                shown(
                  [...should].flatMap(([key, { n }]) => {
                    const right = other.cell.contents.get(key)
                    return right === undefined ? [] : [[key, n + right] as const]
                  })
                )
              )
              const groups = new Map<number, Array<readonly [string, Stamped]>>()
              for (const [key, value] of should)
                groups.set(value.n % 5, [...(groups.get(value.n % 5) ?? []), [key, value]])
              same(
                where,
                shown(grouped.view),
                shown([...groups].map(([n, members]) => [n, HashMap.fromIterable(members)]))
              )
            }
          }
          const derive = Effect.gen(function* () {
            const plain = new Plain(pick([1, 500, 2000, 5000]))
            const young = yield* Table.expire(root.table, { ttl: plain.ttl })
            plain.replace(new Map(root.cell.contents), now())
            const node: Node = {
              plain,
              young,
              twice: yield* Table.expire(young, { ttl: 5000 }),
              mapped: yield* Table.map(young, ({ n }) => n % 7),
              grouped: yield* Table.index(young, ({ n }) => n % 5),
              joined: yield* Table.join(young, other.table, ({ n }, right) => n + right)
            }
            nodes.push(node)
            yield* onBatch(young, (changes) => {
              same("a batch", new Set(changes.map(({ key }) => key)).size, changes.length)
              look("a batch", [node])
            })
          })
          yield* derive
          const commit = (): void => {
            const changes = Array.from(entries(6), ([key, value]) => [key, happens(0.2) ? undefined : value] as const)
            for (const { plain } of nodes) {
              for (const [key, value] of changes) {
                if (value === undefined) plain.entries.delete(key)
                else plain.arrive(key, value, now(), now())
              }
            }
            put(root, changes, () => look("a commit"))
          }
          for (let step = 0; step < 120; step++) {
            const roll = below(100)
            if (roll < 45) commit()
            else if (roll < 55) put(other, [[`k${below(60)}`, happens(0.3) ? undefined : below(9)]])
            else if (roll < 90) {
              yield* TestClock.adjust(pick([0, 1, 10, 400, 1000, 3000]))
              yield* settle
              look("a while later")
            } else if (roll < 96) {
              // Some of it as it was.
              const next = new Map([...root.cell.contents, ...entries(20)])
              for (const key of next.keys()) if (happens(0.2)) next.delete(key)
              for (const { plain } of nodes) plain.replace(next, now())
              yield* root.cell.replace(contentsOf(next), () => look("a replacement"))
            } else if (nodes.length < 3) yield* derive
            look("a step")
          }
          assert.deepStrictEqual(problems.slice(0, 3), [])
          assert.isAbove(looks, 1000)
        }),
      propertyTimeout
    )
  }

  it.effect("goes on while its source is replaced, and its changes add up to what it contains", () =>
    Effect.gen(function* () {
      yield* hurried
      yield* TestClock.adjust(10_000)
      for (let seed = 1; seed <= 8; seed++) {
        const { below, happens } = chance(seed)
        const entries = () =>
          Array.from({ length: 2000 }, () => [`k${below(1500)}`, stamped(yesterday + below(1000), below(9))] as const)
        const now = yield* nowOf
        const yesterday = now() - 1000
        const root = rootOf("root", entries())
        const young = yield* Table.expire(root.table, { ttl: 1200 })
        const mapped = yield* Table.map(young, ({ n }) => n)
        const folded = new Map<string, number>()
        yield* Effect.forkScoped(
          Stream.runForEach(mapped.changes, (change) =>
            Effect.sync(() => {
              if (change._tag === "Snapshot") for (const [key, n] of change.entries) folded.set(key, n)
              else if (change._tag === "Set") folded.set(change.key, change.value)
              else folded.delete(change.key)
            })
          ),
          { startImmediately: true }
        )
        const replacing = yield* Effect.forkScoped(root.cell.replace(contentsOf(entries()), () => {}))
        while (replacing.pollUnsafe() === undefined) {
          if (happens(0.3)) yield* TestClock.adjust(10)
          yield* Effect.yieldNow
        }
        yield* settle
        const wanted = [...root.cell.contents].filter(([, { timestamp }]) => timestamp + 1200 > now())
        assert.deepStrictEqual(shown(young.view), shown(wanted), `seed ${seed}`)
        assert.deepStrictEqual(shown(folded), shown(mapped.view), `seed ${seed}`)
      }
    })
  )

  it.effect("shows nothing that is too old when it comes, and no entry for longer than its time", () =>
    Effect.gen(function* () {
      yield* TestClock.adjust(10_000)
      const root = rootOf("root", [
        ["old", stamped(9000)],
        ["young", stamped(9001)],
        ["ahead", stamped(99_000)]
      ])
      const young = yield* Table.expire(root.table, { ttl: "1 second" })
      const heard: Array<string> = []
      yield* onBatch(young, (changes) => void heard.push(...changes.map(({ _tag, key }) => `${_tag} ${key}`)))
      put(root, [
        ["older", stamped(8000)],
        ["new", stamped(9500)]
      ])
      assert.deepStrictEqual([...young.view.keys()].sort(), ["ahead", "new", "young"])
      yield* TestClock.adjust(1)
      yield* settle
      assert.deepStrictEqual([...young.view.keys()].sort(), ["ahead", "new"])
      yield* TestClock.adjust(498)
      yield* settle
      assert.strictEqual(young.view.size, 2)
      yield* TestClock.adjust(1)
      yield* settle
      assert.deepStrictEqual([...young.view.keys()], ["ahead"])
      yield* TestClock.adjust(500)
      yield* settle
      assert.deepStrictEqual([...young.view.keys()], [])
      assert.deepStrictEqual(heard, ["Set new", "Deleted young", "Deleted new", "Deleted ahead"])
    })
  )

  it.effect("keeps what is written again, whatever the number of entries with one timer", () =>
    Effect.gen(function* () {
      const clock = new CountingClock(yield* Clock.Clock)
      const keys = Array.from({ length: 1000 }, (_, n) => `k${n}`)
      const root = rootOf(
        "root",
        keys.map((key) => [key, stamped(0)] as const)
      )
      const scope = yield* Scope.make()
      const young = yield* Table.expire(root.table, { ttl: 1000 }).pipe(
        Scope.provide(scope),
        Effect.provideService(Clock.Clock, clock)
      )
      let changes = 0
      yield* onBatch(young, (batch) => void (changes += batch.length))
      for (let time = 100; time <= 5000; time += 100) {
        yield* TestClock.adjust(100)
        yield* settle
        put(
          root,
          keys.map((key) => [key, stamped(time)] as const)
        )
        yield* settle
        assert.strictEqual(clock.sleeping, 1)
        assert.strictEqual(young.view.size, 1000)
      }
      assert.strictEqual(changes, 50_000)
      yield* Scope.close(scope, Exit.void)
      yield* settle
      assert.strictEqual(clock.sleeping, 0)
      yield* TestClock.adjust(5000)
      assert.strictEqual(young.view.size, 1000)
      assert.strictEqual((yield* young.status)._tag, "Closed")
    })
  )

  it.effect("lets others run between small commits when very many go at once", () =>
    Effect.gen(function* () {
      const keys = Array.from({ length: 5000 }, (_, n) => `k${n}`)
      const root = rootOf(
        "root",
        keys.map((key) => [key, stamped(0)] as const)
      )
      const young = yield* Table.expire(root.table, { ttl: 1000 })
      const sizes: Array<number> = []
      yield* onBatch(young, (batch) => void sizes.push(batch.length))
      let turns = 0
      yield* Effect.forkScoped(
        Effect.forever(
          Effect.andThen(
            Effect.sync(() => turns++),
            Effect.yieldNow
          ),
          { disableYield: true }
        )
      )
      const before = turns
      yield* TestClock.adjust(1000)
      while (young.view.size > 0) yield* Effect.yieldNow
      assert.strictEqual(
        sizes.reduce((a, b) => a + b),
        5000
      )
      assert.isAtMost(Math.max(...sizes), 256)
      assert.isAtLeast(turns - before, sizes.length - 1)
    })
  )

  it.effect(
    "lets nothing live longer by a clock that is set back, and lets what it has seen pass go when it is set forward",
    () =>
      withSteps((step) =>
        Effect.gen(function* () {
          yield* TestClock.adjust(100_000)
          const root = rootOf("root", [["a", stamped(100_000)]])
          const young = yield* Table.expire(root.table, { ttl: 10_000 })
          step(-50_000)
          put(root, [["b", stamped(50_000)]])
          yield* TestClock.adjust(9999)
          yield* settle
          assert.strictEqual(young.view.size, 2)
          yield* TestClock.adjust(1)
          yield* settle
          assert.strictEqual(young.view.size, 0)
          put(root, [
            ["c", stamped(60_000)],
            // Its producer's clock is not set yet.
            ["d", stamped(110_000)]
          ])
          step(50_000)
          // As after a suspension, in which the monotonic clock stood still: it is looked at within a tenth of the age.
          yield* TestClock.adjust(1000)
          yield* settle
          assert.strictEqual(young.view.size, 0)
          put(root, [["e", stamped(111_000)]])
          yield* TestClock.adjust(9999)
          yield* settle
          assert.deepStrictEqual([...young.view.keys()], ["e"])
        })
      )
  )

  it.effect("shows nothing again that has gone, when its source is replaced after the clock was set back", () =>
    withSteps((step) =>
      Effect.gen(function* () {
        yield* TestClock.adjust(100_000)
        const old: ReadonlyArray<readonly [string, Stamped]> = [
          ["late", stamped(80_000)],
          ["here", stamped(100_000)],
          ["ahead", stamped(150_000)]
        ]
        const root = rootOf("root", old)
        const young = yield* Table.expire(root.table, { ttl: 10_000 })
        assert.deepStrictEqual([...young.view.keys()], ["here", "ahead"])
        yield* TestClock.adjust(10_000)
        yield* settle
        assert.strictEqual(young.view.size, 0)
        step(-60_000)
        const replaced = (more: ReadonlyArray<readonly [string, Stamped]>) =>
          root.cell.replace(contentsOf([...old, ...more]), () => {})
        yield* replaced([["new", stamped(50_000)]])
        assert.deepStrictEqual([...young.view.keys()], ["new"])
        // And what has gone is not forgotten by that.
        yield* TestClock.adjust(5000)
        yield* replaced([["new", stamped(50_000)]])
        assert.deepStrictEqual([...young.view.keys()], ["new"])
        yield* TestClock.adjust(5000)
        yield* settle
        assert.strictEqual(young.view.size, 0)
        put(root, [["here", stamped(60_000)]])
        assert.deepStrictEqual([...young.view.keys()], ["here"])
      })
    )
  )

  it.effect("is frozen with its source when that fails for good, and closed with it, without a timer", () =>
    Effect.gen(function* () {
      for (const how of ["Failed", "Closed"] as const) {
        const clock = new CountingClock(yield* Clock.Clock)
        const now = yield* nowOf
        const root = rootOf("root", [["a", stamped(now())]])
        const young = yield* Effect.provideService(Table.expire(root.table, { ttl: 1000 }), Clock.Clock, clock)
        yield* settle
        assert.strictEqual(clock.sleeping, 1)
        if (how === "Failed") root.cell.fail(new TableError.TopicDeleted({ topic: "root" }))
        else root.cell.close()
        yield* settle
        assert.strictEqual(clock.sleeping, 0)
        yield* TestClock.adjust(5000)
        yield* settle
        assert.strictEqual(young.view.size, 1)
        assert.strictEqual((yield* young.status)._tag, how)
      }
    })
  )

  it("refuses an age that is none by name", () => {
    const { table } = rootOf<string, Stamped>()
    for (const ttl of [0, -1, NaN, "soon", undefined, Infinity]) {
      assert.throws(() => Table.expire(table, { ttl: ttl as number }), /Table\.expire\.ttl/)
    }
    assert.throws(() => Table.expire({ ttl: 1 })({} as typeof table), /Table\.expire\.self/)
    // Without options it is no call for a pipe.
    assert.throws(() => Table.expire(table as never), /option Table\.expire is undefined/)
    assert.throws(() => Table.expire(table, { ttl: 1, tll: 1 } as { ttl: number }), /Table\.expire\.tll/)
    assert.doesNotThrow(() => Table.expire(table, { ttl: "90 days" }))
  })

  const topic = TableTopic.make({
    name: "presence",
    key: Schema.String,
    value: Schema.String,
    config: { "message.timestamp.type": "LogAppendTime" }
  })

  it.effect("of a topic keeps who sends heartbeats, though one that was awaited may have expired", () =>
    onCluster(
      Effect.gen(function* () {
        const writer = yield* KafkaTableWriter.make(topic)
        const table = yield* within("a table", 1000, KafkaTable.make(topic))
        const young = yield* Effect.flatMap(KafkaTable.withMetadata(table), Table.expire({ ttl: 1000 }))
        const live = yield* Table.map(young, ({ value }) => value)
        const heard: Array<string> = []
        heard.push("start")
        yield* onBatch(live, (changes) => void heard.push(...changes.map(({ _tag, key }) => `${_tag} ${key}`)))
        const beat = (key: string) => Effect.andThen(writer.set(key, "here"), table.barrier())
        yield* beat("dies")
        for (let n = 0; n < 10; n++) {
          yield* beat("lives")
          yield* TestClock.adjust(500)
          yield* settle
        }
        assert.deepStrictEqual([...live.view], [["lives", "here"]])
        assert.deepStrictEqual(heard, ["start", "Set dies", "Set lives", "Deleted dies"])
        const ack = yield* writer.set("late", "here", { timestamp: 1 })
        yield* TestClock.adjust(1000)
        yield* table.awaitOffset(ack)
        yield* settle
        assert.deepStrictEqual([...live.view], [])
        assert.strictEqual(table.view.size, 3)
      })
    )
  )

  it.effect("shows nothing again that has gone, when its topic is read again", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* memory
        yield* kafka.createTopic("presence")
        const record = (key: string, timestamp: number) => ({ key, value: '"here"', timestamp })
        const table = yield* KafkaTable.make(topic)
        const young = yield* Effect.flatMap(KafkaTable.withMetadata(table), Table.expire({ ttl: 1000 }))
        // Two of them have a producer whose clock is ahead.
        yield* kafka.append("presence", [record("old", 0), record("ahead", 90_000), record("ahead too", 90_000)])
        yield* within("a barrier", 1000, table.barrier())
        assert.strictEqual(young.view.size, 3)
        yield* pass(2000)
        assert.strictEqual(young.view.size, 0)
        yield* kafka.append("presence", [record("ahead too", 90_000), record("lost", 2000)])
        yield* within("a barrier", 1000, table.barrier())
        yield* kafka.truncate("presence", 0, 4)
        yield* within("a barrier", 60_000, table.barrier())
        assert.strictEqual((yield* table.health).stats.rebuilds, 1)
        assert.strictEqual(table.view.size, 3)
        assert.deepStrictEqual([...young.view.keys()], ["ahead too"])
      })
    )
  )
})
