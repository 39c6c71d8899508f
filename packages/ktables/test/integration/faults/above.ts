/**
 * Everything above one flat table, of one client, at work at once: a grouped table with all that is made of it, orders and
 * prices with every operator over them, and many tables by name that come and go and share what they ask brokers. Whoever runs
 * looks whether all contents are in step; at the end every table is what Java reads in its log.
 */
import assert from "node:assert/strict"
import { Clock, Effect, Exit, Fiber, HashMap, Option, Result, Schema, type Scope, Stream } from "effect"
import {
  Codec,
  GroupedKafkaTable,
  GroupedKafkaTableWriter,
  type KafkaClient,
  KafkaTable,
  KafkaTables,
  KafkaTableWriter,
  Table,
  TableTopic
} from "effect-ktables"
import { TestKafka } from "@effect-ktables/testing"
import type { JavaPeer } from "@effect-ktables/testing/interop"
import { javaPartitioner } from "../../../src/internal/records/partitioner.ts"
import { type Chance, chance } from "../../support/chance.ts"
import { until } from "./until.ts"

/** How many tables by name there are: enough for them to share requests, and to need several. */
export const STOCKS = 50
/** Of these the tables are held all the time. */
const HELD = 15
const TTL = 4000
/** The share of batches at which all contents are looked at. */
const LOOKS = 0.1
/** Milliseconds that a busy machine may be late by. */
const LATE = 5000

const Order = Schema.Struct({ fruit: Schema.String, count: Schema.Int })
type Order = typeof Order.Type

const FRUITS = ["apple", "pear", "fig", "plum"]
/** Those that are hard to tell apart, to measure, or to hold. */
const NAMES = [
  "",
  "a",
  "1:",
  "12:a",
  "é",
  "e\u0301",
  "😀",
  "👩‍👩‍👧",
  "a😀b",
  "\ufeff",
  "\u0000",
  "long-".padEnd(4000, "😀")
]
/** Keys of another form: no group's. */
const FOREIGN = ["01:ab", "9999999999:a", "١:ab", "5:a", ":a", "no key"]

/** What a slow subscriber may be late by is little, so that it is soon given a snapshot. */
const QUICK = {
  fetch: { maxWait: "500 millis" },
  metadataRefresh: "1 second",
  ensureTopic: false,
  changesCapacity: 64
} as const
const QUICK_WRITES = { metadataMaxAge: "1 second", closeTimeout: "5 seconds", ensureTopic: false } as const

const CLEANED = {
  "cleanup.policy": "compact",
  "segment.ms": "1000",
  "min.cleanable.dirty.ratio": "0",
  "delete.retention.ms": "1000"
}

const roomKey = (group: string, member: string): string => `${[...group].length}:${group}${member}`

/** A key as text, of whatever type. */
const textOf = (key: unknown): string => (typeof key === "string" ? key : JSON.stringify(key))

const plainOf = (value: unknown): unknown =>
  HashMap.isHashMap(value)
    ? Object.fromEntries(Array.from(value, ([key, value]) => [textOf(key), value] as const).sort())
    : value

type Plain = ReadonlyMap<string, unknown>

const shown = (entries: Iterable<readonly [unknown, unknown]>): Plain =>
  new Map(
    Array.from(entries, ([key, value]) => [textOf(key), plainOf(value)] as const).sort(([a], [b]) => (a < b ? -1 : 1))
  )

const sameAs = (a: Plain, b: Plain): boolean => JSON.stringify([...a]) === JSON.stringify([...b])

const short = (plain: Plain): string => JSON.stringify([...plain]).slice(0, 400)

/** A derived table beside what plain code makes of its sources. */
interface Law {
  readonly name: string
  readonly table: Table.Any
  readonly plain: () => Iterable<readonly [unknown, unknown]>
}

export interface World {
  readonly topics: {
    readonly rooms: string
    readonly orders: string
    readonly prices: string
    readonly stock: (n: number) => string
  }
  readonly held: ReadonlyArray<KafkaTable.KafkaTable<string, number>>
  readonly rooms: GroupedKafkaTable.GroupedKafkaTable<string, string, number>
  readonly orders: KafkaTable.KafkaTable<string, Order>
  readonly prices: KafkaTable.KafkaTable<string, number>
  /** Succeeds once everybody has had more writes acknowledged, and reads everything that is in the logs. */
  readonly flows: Effect.Effect<void>
  /** Nobody writes to the topic of a name meanwhile, which begins empty afterwards. */
  readonly emptied: <E>(n: number, change: Effect.Effect<void, E>) => Effect.Effect<void, E>
  readonly violations: ReadonlyArray<string>
  readonly counts: {
    readonly looks: number
    readonly gets: number
    readonly acknowledged: number
    readonly resyncs: number
  }
  /** Ends the work and compares everything with everything. */
  readonly end: Effect.Effect<void, never, KafkaClient.KafkaClient>
}

export interface AboveOptions {
  readonly cluster: TestKafka.Cluster
  readonly java: JavaPeer.Service
  readonly seed: number
  /**
   * Of the grouped topic: its tombstones go after a second, or it gets more partitions. Not both, since a key that has moved
   * and was deleted has its old record again once the tombstone is gone (docs/adr/0005).
   */
  readonly rooms: "cleaned" | "growing"
  readonly tell: (line: string) => void
}

export const above = (options: AboveOptions): Effect.Effect<World, never, KafkaClient.KafkaClient | Scope.Scope> =>
  Effect.orDie(make(options))

const make = Effect.fnUntraced(function* (options: AboveOptions) {
  const { cluster, java, seed, tell } = options
  const { admin } = cluster
  const prefix = yield* TestKafka.uniqueName("above")
  const topics: World["topics"] = {
    rooms: `${prefix}.rooms`,
    orders: `${prefix}.orders`,
    prices: `${prefix}.prices`,
    stock: (n) => `${prefix}.stock.${n}`
  }
  const brokers = cluster.nodes.map(({ id }) => id)
  const from = (n: number) => [0, 1, 2].map((i) => brokers[(n + i) % brokers.length]!)
  const createStock = (n: number) =>
    admin.createTopic({
      topic: topics.stock(n),
      assignments: [from(n)],
      config: { "cleanup.policy": "compact", "min.insync.replicas": "1" }
    })
  yield* Effect.forEach(
    Array.from({ length: STOCKS }, (_, n) => n),
    createStock,
    { concurrency: 4, discard: true }
  )
  yield* admin.createTopic({
    topic: topics.rooms,
    assignments: [from(0), from(1), from(2)],
    config: {
      ...(options.rooms === "cleaned" ? CLEANED : { "cleanup.policy": "compact" }),
      "message.timestamp.type": "LogAppendTime",
      "min.insync.replicas": "1"
    }
  })
  yield* admin.createTopic({
    topic: topics.orders,
    assignments: [from(1), from(2)],
    config: { ...CLEANED, "min.insync.replicas": "1" }
  })
  // Two replicas, so that a test can have one of them lead that is behind.
  yield* admin.createTopic({
    topic: topics.prices,
    assignments: [brokers.slice(0, 2)],
    config: { "cleanup.policy": "compact", "min.insync.replicas": "1" }
  })

  const one: Chance = chance(seed)
  const violations: Array<string> = []
  const violated = (what: string): void => {
    if (violations.length >= 20) return
    violations.push(what)
    tell(`violated: ${what}`)
  }
  const counts = { looks: 0, gets: 0, acknowledged: 0, resyncs: 0 }

  // -------------------------------------------------------------------------------------------- tables

  const roomsTopic = TableTopic.grouped({
    name: topics.rooms,
    group: Schema.String,
    member: Schema.String,
    value: Schema.Int
  })
  const ordersTopic = TableTopic.make({ name: topics.orders, key: Schema.String, value: Order })
  const pricesTopic = TableTopic.make({ name: topics.prices, key: Schema.String, value: Schema.Int })
  const stockTopic = (n: string) =>
    TableTopic.make({ name: topics.stock(Number(n)), key: Schema.String, value: Schema.Int })

  const stocks = yield* KafkaTables.make(stockTopic, { ...QUICK, idleTimeToLive: "300 millis" })
  const held = yield* Effect.forEach(
    Array.from({ length: HELD }, (_, n) => n),
    (n) => stocks.get(String(n)),
    {
      concurrency: "unbounded"
    }
  )
  const rooms = yield* GroupedKafkaTable.make(roomsTopic, QUICK)
  const orders = yield* KafkaTable.make(ordersTopic, QUICK)
  const prices = yield* KafkaTable.make(pricesTopic, QUICK)

  const entries = yield* KafkaTable.withMetadata(rooms)
  const young = yield* Table.expire(entries, { ttl: TTL })
  const counted = yield* Table.map(orders, ({ count }) => count)
  const costs = yield* Table.join(orders, prices, ({ count }, price) => count * price, { on: ({ fruit }) => fruit })
  const priced = yield* Table.leftJoin(orders, prices, ({ count }, price) => [count, Option.getOrNull(price)], {
    on: ({ fruit }) => fruit
  })
  const both = yield* Table.union(counted, prices)
  const costOf = ({ count, fruit }: Order): number | undefined => {
    const price = prices.view.get(fruit)
    return price === undefined ? undefined : count * price
  }
  const grouped = <A, V>(of: Iterable<readonly [A, V]>, f: (value: V, key: A) => string) => {
    const groups = new Map<string, Array<readonly [A, V]>>()
    for (const [key, value] of of) groups.set(f(value, key), [...(groups.get(f(value, key)) ?? []), [key, value]])
    return Array.from(groups, ([group, members]) => [group, HashMap.fromIterable(members)] as const)
  }
  const laws: ReadonlyArray<Law> = [
    { name: "map", table: counted, plain: () => Array.from(orders.view, ([key, { count }]) => [key, count]) },
    {
      name: "filterMap",
      table: yield* Table.filterMap(orders, ({ count }) => (count % 2 === 0 ? Result.succeed(count) : Result.failVoid)),
      plain: () => Array.from(counted.view).filter(([, count]) => count % 2 === 0)
    },
    {
      name: "join",
      table: costs,
      plain: () =>
        Array.from(orders.view).flatMap(([key, order]) => {
          const cost = costOf(order)
          return cost === undefined ? [] : [[key, cost]]
        })
    },
    {
      name: "leftJoin",
      table: priced,
      plain: () =>
        Array.from(orders.view, ([key, { count, fruit }]) => [key, [count, prices.view.get(fruit) ?? null]] as const)
    },
    { name: "union", table: both, plain: () => new Map<string, number>([...counted.view, ...prices.view]) },
    {
      name: "diff",
      table: yield* Table.diff(counted, costs),
      plain: () =>
        [...counted.view].flatMap(([key, from]): Array<readonly [string, unknown]> => {
          const to = costs.view.get(key)
          if (to === undefined) return [[key, { _tag: "Removed", from }]]
          return from === to ? [] : [[key, { _tag: "Changed", from, to }]]
        })
    },
    { name: "sorted", table: yield* Table.sorted(orders), plain: () => [...orders.view] },
    {
      name: "index",
      table: yield* Table.index(orders, ({ fruit }) => fruit),
      plain: () => grouped(orders.view, ({ fruit }) => fruit)
    },
    {
      name: "index of a grouped table",
      table: yield* Table.index(rooms, (_, { group }) => `group ${group}`),
      plain: () => grouped(rooms.view, (_, { group }) => `group ${group}`)
    },
    { name: "withMetadata", table: yield* Table.map(entries, ({ value }) => value), plain: () => rooms.view },
    ...(yield* Effect.forEach(NAMES, (group) =>
      Effect.map(rooms.group(group), (table): Law => ({
        name: `the group ${group.slice(0, 9)}`,
        table,
        plain: () => rooms.view.members(group)
      }))
    ))
  ]

  const look = (where: string): void => {
    counts.looks++
    for (const { name, plain, table } of laws) {
      const [is, should] = [shown(table.view), shown(plain())]
      if (!sameAs(is, should)) violated(`${name} at ${where}: it is ${short(is)} and not ${short(should)}`)
    }
    const groups = new Set(Array.from(rooms.view.keys(), ({ group }) => group))
    if (!sameAs(shown(Array.from(groups, (g) => [g, 1])), shown(rooms.view.groups().map((g) => [g, 1] as const)))) {
      violated(`groups at ${where}: ${rooms.view.groups().length} and not ${groups.size}`)
    }
    const now = Date.now()
    for (const [key, entry] of young.view) {
      const is = entries.view.get(key)
      if (is !== entry && is?.offset !== entry.offset) violated(`expire at ${where}: ${textOf(key)} is another`)
      if (now - entry.timestamp > TTL + LATE)
        violated(`expire at ${where}: ${textOf(key)} is ${now - entry.timestamp} old`)
    }
  }

  // -------------------------------------------------------------------------------------------- who follows

  /** What changes add up to, of a subscriber that takes its time over each batch. */
  const followed = Effect.fnUntraced(function* (name: string, table: Table.Any, pause: number) {
    const folded = new Map<string, unknown>()
    let snapshots = 0
    yield* Stream.runForEach(table.changeBatches, (batch) =>
      Effect.suspend(() => {
        for (const change of batch) {
          if (change._tag === "Snapshot") {
            if (snapshots++ > 0) counts.resyncs++
            folded.clear()
            for (const [key, value] of change.entries) folded.set(textOf(key), plainOf(value))
            continue
          }
          const key = textOf(change.key)
          const previous: unknown = change._tag === "Deleted" ? change.previous : Option.getOrUndefined(change.previous)
          if (JSON.stringify(plainOf(previous)) !== JSON.stringify(folded.get(key))) {
            violated(
              `a change of ${name}: ${key} was ${JSON.stringify(folded.get(key))}, not ${JSON.stringify(previous)}`
            )
          }
          if (change._tag === "Set") folded.set(key, plainOf(change.value))
          else if (!folded.delete(key)) violated(`a change of ${name}: ${key} was deleted twice`)
        }
        if (pause > 0) return Effect.sleep(pause)
        // Each looks at everything.
        if (one.happens(LOOKS)) look(`a change of ${name}`)
        return Effect.void
      })
    ).pipe(Effect.ignore, Effect.forkScoped)
    return { name, table, folded }
  })
  const followers = yield* Effect.all([
    followed("orders", orders, 0),
    followed("prices", prices, 0),
    followed("rooms", rooms, 0),
    followed("young", young, 0),
    ...laws.map(({ name, table }) => followed(name, table, 0)),
    followed("costs, slowly", costs, 150),
    followed("union, slowly", both, 300),
    followed("young, slowly", young, 150)
  ])

  // -------------------------------------------------------------------------------------------- who writes

  let isOver = false
  const pausedStocks = new Set<number>()
  const acked = Array.from({ length: STOCKS }, () => new Map<string, number>())
  /** What a key may have come to by its only writer: what was acknowledged last, and what is not known since. */
  const last = new Map<string, Array<unknown>>()
  const kept = (key: string, value: unknown) => ({
    acknowledged: () => last.set(key, [value]),
    failed: () => last.set(key, [...(last.get(key) ?? [undefined]), value])
  })
  const acknowledged = { stocks: 0, rooms: 0, orders: 0, prices: 0 }
  const working = (body: (n: number) => Effect.Effect<void, unknown>, pause: number) =>
    Effect.gen(function* () {
      for (let n = 1; !isOver; n++) {
        yield* body(n)
        yield* Effect.sleep(pause)
      }
    }).pipe(Effect.orDie)
  const tried = <A, E extends { readonly _tag: string }>(
    of: keyof typeof acknowledged,
    write: Effect.Effect<A, E>,
    outcome: { readonly acknowledged: () => void; readonly failed?: () => void } = { acknowledged: () => {} }
  ) =>
    Effect.flatMap(Effect.exit(write), (exit) => {
      if (Exit.isSuccess(exit)) {
        acknowledged[of]++
        counts.acknowledged++
        outcome.acknowledged()
        return Effect.void
      }
      outcome.failed?.()
      const error = Option.getOrUndefined(Exit.findErrorOption(exit))
      if (error === undefined) violated(`a write to ${of} ended with ${String(exit.cause)}`)
      return Effect.void
    })

  const roomsWriter = yield* GroupedKafkaTableWriter.make(roomsTopic, QUICK_WRITES)
  const foreignWriter = yield* KafkaTableWriter.make(
    TableTopic.make({ name: topics.rooms, key: Codec.string, value: Schema.Int }),
    QUICK_WRITES
  )
  const ordersWriter = yield* KafkaTableWriter.make(ordersTopic, QUICK_WRITES)
  const pricesWriter = yield* KafkaTableWriter.make(pricesTopic, QUICK_WRITES)
  const stockWriters = yield* Effect.forEach(
    Array.from({ length: STOCKS }, (_, n) => n),
    (n) => KafkaTableWriter.make(stockTopic(String(n)), QUICK_WRITES),
    { concurrency: 8 }
  )
  const alive = yield* Effect.forEach(["one", "two", "three"], (member) =>
    roomsWriter.keepAlive("alive", member, 1, { every: "700 millis" })
  )

  const works = yield* Effect.forEach(
    [
      working((n) => {
        const group = one.pick(NAMES)
        const member = one.pick(NAMES)
        if (one.happens(0.05)) return tried("rooms", foreignWriter.set(one.pick(FOREIGN), n))
        const key = `rooms: ${roomKey(group, member)}`
        return one.happens(0.3)
          ? tried("rooms", roomsWriter.delete(group, member), kept(key, undefined))
          : tried("rooms", roomsWriter.set(group, member, n), kept(key, n))
      }, 15),
      working((n) => {
        const key = `o${one.below(30)}`
        const order = { fruit: one.pick(FRUITS), count: n }
        return one.happens(0.25)
          ? tried("orders", ordersWriter.delete(key), kept(`orders: ${key}`, undefined))
          : tried("orders", ordersWriter.set(key, order), kept(`orders: ${key}`, order))
      }, 10),
      working((n) => {
        const fruit = one.pick(FRUITS)
        return one.happens(0.2)
          ? tried("prices", pricesWriter.delete(fruit))
          : tried("prices", pricesWriter.set(fruit, n))
      }, 20),
      ...[0, 1].map((part) =>
        working((n) => {
          const stock = (2 * n + part) % STOCKS
          const key = `k${one.below(5)}`
          if (pausedStocks.has(stock)) return Effect.void
          return tried("stocks", stockWriters[stock]!.set(key, n), {
            acknowledged: () => {
              if (!pausedStocks.has(stock)) acked[stock]!.set(key, n)
            }
          })
        }, 5)
      ),
      // Tables by name come and go.
      ...[0, 1, 2, 3].map(() =>
        working(
          () =>
            Effect.gen(function* () {
              const n = one.below(STOCKS)
              const before = new Map(acked[n])
              const exit = yield* Effect.exit(Effect.timeout(stocks.get(String(n)), "60 seconds"))
              counts.gets++
              if (Exit.isFailure(exit)) {
                violated(`get of ${n}: ${String(exit.cause).slice(0, 300)}`)
                return
              }
              const table = exit.value
              if (pausedStocks.has(n)) return
              yield* table.barrier({ timeout: "60 seconds" })
              for (const [key, value] of before) {
                const is = table.view.get(key) ?? -1
                if (acked[n]!.has(key) && is < value) {
                  violated(`table ${n} has ${key} = ${is} after a barrier, though ${value} was acknowledged before`)
                }
              }
              yield* Effect.sleep(one.below(300))
              if (one.happens(0.1)) yield* stocks.invalidate(String(n))
            }).pipe(Effect.scoped),
          10
        )
      )
    ],
    (work) => Effect.forkScoped(work)
  )

  const flows = Effect.gen(function* () {
    const before = { ...acknowledged }
    yield* until(
      () => `writes go on: ${JSON.stringify([before, acknowledged])}`,
      () =>
        acknowledged.stocks > before.stocks + 50 &&
        acknowledged.rooms > before.rooms + 10 &&
        acknowledged.orders > before.orders + 10 &&
        acknowledged.prices > before.prices + 10,
      "90 seconds"
    )
    yield* Effect.forEach(
      [rooms, orders, prices, ...held],
      (table) => Effect.orDie((table as KafkaTable.Any).barrier({ timeout: "90 seconds" })),
      { concurrency: "unbounded", discard: true }
    )
    look("a barrier")
    for (const [i, { failure }] of alive.entries()) {
      const ended = yield* Effect.timeoutOption(Effect.exit(failure), 0)
      if (Option.isSome(ended)) violated(`what is kept alive, ${i}, has ended: ${String(ended.value)}`)
    }
    tell(JSON.stringify({ ...counts, violations: violations.length }))
  })

  const emptied: World["emptied"] = (n, change) =>
    Effect.gen(function* () {
      pausedStocks.add(n)
      yield* change
      acked[n]!.clear()
      pausedStocks.delete(n)
    })

  const inLog = Effect.fnUntraced(function* (topic: string) {
    const { partitions } = yield* java.describeTopic(topic)
    const latest = new Map<
      string,
      { readonly partition: number; readonly key: Buffer; readonly value: Buffer | null }
    >()
    for (const { key, partition, value } of yield* java.committedRecords(topic)) {
      const bytes = Buffer.from(key!, "base64")
      const known = latest.get(key!)
      const owner = javaPartitioner(bytes, partitions.length)
      if (known !== undefined && known.partition !== partition && known.partition === owner) continue
      latest.set(key!, { partition, key: bytes, value: value === null ? null : Buffer.from(value, "base64") })
    }
    return [...latest.values()].flatMap(({ key, value }) =>
      value === null ? [] : [[key.toString(), JSON.parse(value.toString()) as unknown] as const]
    )
  })

  const end = Effect.gen(function* () {
    isOver = true
    yield* Effect.timeout(Fiber.joinAll(works), "150 seconds")
    for (const table of [rooms, orders, prices]) yield* (table as KafkaTable.Any).barrier({ timeout: "90 seconds" })
    look("the end")
    const compare = (
      name: string,
      table: Iterable<readonly [unknown, unknown]>,
      log: Iterable<readonly [unknown, unknown]>
    ) => {
      const [is, should] = [shown(table), shown(log)]
      const wrong = [...new Set([...is.keys(), ...should.keys()])].filter(
        (key) => JSON.stringify(is.get(key)) !== JSON.stringify(should.get(key))
      )
      for (const key of wrong) {
        // A replica that was away while a tombstone expired has the deleted record again when it leads: what its only writer
        // wrote last is right, too.
        const candidates = last.get(`${name}: ${key}`)
        if (candidates?.some((value) => JSON.stringify(value) === JSON.stringify(is.get(key)))) continue
        violated(`${name}: ${key} is ${JSON.stringify(is.get(key))} and not ${JSON.stringify(should.get(key))}`)
      }
    }
    compare("orders", orders.view, yield* inLog(topics.orders))
    compare("prices", prices.view, yield* inLog(topics.prices))
    /** Who is kept alive is still written. */
    const isOurs = ([key]: readonly [string, unknown]) => !key.startsWith("5:alive") && !FOREIGN.includes(key)
    const ours = ({ view }: typeof rooms) =>
      Array.from(view, ([{ group, member }, value]) => [roomKey(group, member), value] as const).filter(isOurs)
    for (const table of [rooms, yield* GroupedKafkaTable.make(roomsTopic, QUICK)]) {
      compare("rooms", ours(table), (yield* inLog(topics.rooms)).filter(isOurs))
    }
    for (let n = 0; n < STOCKS; n += 7) {
      const table = yield* stocks.get(String(n))
      yield* table.barrier({ timeout: "60 seconds" })
      compare(`table ${n}`, table.view, yield* inLog(topics.stock(n)))
    }
    if (yield* Effect.map(young.size, (size) => size < 3)) violated("who is kept alive has expired")
    for (const { folded, name, table } of followers) {
      yield* until(
        () => `the changes of ${name} add up: ${short(shown(folded))} and not ${short(shown(table.view))}`,
        () => sameAs(shown(folded), shown(table.view)),
        "60 seconds"
      )
    }
    if (counts.resyncs === 0) violated("no subscriber was late enough to be given a snapshot")
    const since = yield* Clock.currentTimeMillis
    yield* until("who is not kept alive expires", () => young.view.size === 3, "30 seconds")
    tell(`young after ${(yield* Clock.currentTimeMillis) - since} ms`)
    for (const [name, table] of [
      ["orders", orders],
      ["prices", prices],
      ["rooms", rooms]
    ] as const) {
      tell(`${name}: ${JSON.stringify((yield* (table as KafkaTable.Any).health).stats)}`)
    }
    assert.deepEqual(violations, [])
  }).pipe(Effect.scoped, Effect.orDie)

  return { topics, held, rooms, orders, prices, flows, emptied, violations, counts, end } satisfies World
})
