/**
 * What derived tables cost their source, beside what it takes itself: the processor time of commits to a table of decoded values, with an
 * operator and without, round by round. What each takes longer by is its own. Then what it keeps in memory, and how long the
 * event loop is held up while everything is replaced.
 */
import * as Table from "effect-ktables/Table"
import { Effect, Exit, Fiber, Option, Scope, Stream } from "effect"
import type * as CellModule from "../../../ktables/src/internal/table/cell.ts"
import type * as CellTableModule from "../../../ktables/src/internal/table/cellTable.ts"
import type * as ContentsModule from "../../../ktables/src/internal/table/contents.ts"
import type { Cell } from "../harness/cells.ts"
import { median } from "../harness/Measurement.ts"
import { memoryUse } from "../harness/memory.ts"
import { longestTurn } from "../harness/turns.ts"
import { keyOf, type Service, serviceOf } from "../topics/values.ts"

export interface Input {
  readonly keys: number
  readonly changes: number
  /** Of which the first third warms up. */
  readonly rounds: number
}

type Services = Table.Table<string, Service>
type Derive = (
  table: Services,
  hosts: Table.Table<number, string>,
  other: Services
) => Effect.Effect<unknown, never, Scope.Scope>

/** One of a thousand. */
const groupOf = ({ port }: Service): number => port % 1000

const byVersion = (table: Services) => Table.index(table, ({ name, version }) => `${name} ${version}`)

const operators: ReadonlyArray<readonly [name: string, derive: Derive]> = [
  ["map", (table) => Table.map(table, ({ host, port }) => `${host}:${port}`)],
  ["filter", (table) => Table.filter(table, ({ healthy }) => healthy)],
  ["index", (table) => Table.index(table, groupOf)],
  ["index of one each", (table) => Table.index(table, ({ name }) => `by ${name}`)],
  ["join on the same key", (table) => Table.join(table, table, (left, right) => left.port + right.version)],
  [
    "join by a reference",
    (table, hosts) => Table.join(table, hosts, ({ name }, host) => `${name}@${host}`, { on: groupOf })
  ],
  [
    "leftJoin by a reference",
    (table, hosts) =>
      Table.leftJoin(table, hosts, ({ name }, host) => `${name}@${Option.getOrElse(host, () => "")}`, {
        on: groupOf
      })
  ],
  ["union", (table, _, other) => Table.union(table, other)],
  ["diff", (table, _, other) => Table.diff(other, table)],
  ["sorted", (table) => Table.sorted(table)],
  // No table: the immutable map that it holds is kept in step with each change.
  ["ref", (table) => Table.ref(table)],
  // Each change is of a group that goes and of one that comes: both have their maps made, and
  // sorting is what the second one takes longer by.
  [
    "index of what comes and goes, mapped",
    (table) =>
      Effect.flatMap(
        byVersion(table),
        Table.map((group) => group)
      )
  ],
  ["index of what comes and goes, sorted", (table) => Effect.flatMap(byVersion(table), Table.sorted())],
  // Whoever follows it wants its maps to be in step.
  [
    "index and a map of its groups",
    (table) =>
      Effect.flatMap(
        Table.index(table, groupOf),
        Table.map((group) => group)
      )
  ]
]

/** What stands on a table that is replaced. */
const replaced: ReadonlyArray<readonly [string, ReadonlyArray<Derive>]> = [
  ["none", []],
  ...operators.flatMap(([name, derive]) =>
    ["map", "index", "join by a reference", "union", "sorted", "ref"].includes(name) ? [[name, [derive]] as const] : []
  ),
  ["all of them", operators.map(([, derive]) => derive)]
]

/** What fills a table, which users are not given. The suite runs from its sources. */
const internal = async <M>(module: string): Promise<M> =>
  (await import(new URL(`../../../ktables/src/internal/table/${module}.ts`, import.meta.url).href)) as M
const { Cell: TableCell } = await internal<typeof CellModule>("cell")
const { CellTable } = await internal<typeof CellTableModule>("cellTable")
const { Contents } = await internal<typeof ContentsModule>("contents")

/** Elements of a stream that are looked up. */
const LOOKUPS = 100_000

/** Changes of a commit. */
const BATCH = 100

const cellOf = <K, V>(name: string, contents: ContentsModule.Contents<K, V>) => {
  const cell = new TableCell<K, V, never>({ name, contents, same: Object.is, capacity: 16_384 })
  cell.setStatus({ _tag: "CaughtUp" })
  return cell
}

const contentsOf = <K, V>(
  count: number,
  keyOf: (id: number) => K,
  valueOf: (id: number) => V
): ContentsModule.Contents<K, V> => {
  const contents = new Contents<K, V>()
  contents.mutate(() => {
    for (let id = 0; id < count; id++) contents.set(keyOf(id), valueOf(id))
  }, false)
  return contents
}

export const cell: Cell<Input> = Effect.fnUntraced(function* ({ changes, keys, rounds }) {
  const services = cellOf(
    "services",
    contentsOf(keys, keyOf, (id) => serviceOf(id, 0))
  )
  const hosts = cellOf(
    "hosts",
    contentsOf(
      1000,
      (id) => id,
      (id) => `host ${id}`
    )
  )
  const other = cellOf(
    "other services",
    contentsOf(keys / 10, keyOf, (id) => serviceOf(id, 0))
  )
  const [table, hostsTable, otherTable] = [new CellTable(services), new CellTable(hosts), new CellTable(other)]
  let version = 0

  /** Writes new versions of keys that lie all over the table, by strings of their own, as a reader decodes them. */
  const write = (): number => {
    version++
    const records = Array.from({ length: changes }, (_, i) => {
      const id = ((version * changes + i) * 7_919) % keys
      return [keyOf(id), serviceOf(id, version)] as const
    })
    // What the making of them left behind is not the tables'.
    globalThis.gc?.({ type: "minor" })
    globalThis.gc?.({ type: "minor" })
    const before = process.cpuUsage()
    for (let at = 0; at < changes; at += BATCH) {
      services.commit(() => {
        for (let i = at; i < at + BATCH; i++) services.contents.set(records[i]![0], records[i]![1])
      }, nothing)
    }
    const { system, user } = process.cpuUsage(before)
    return ((system + user) * 1000) / changes
  }

  const kinds: ReadonlyArray<readonly [string, Derive]> = [["none", () => Effect.void], ...operators]
  const times = new Map<string, Array<number>>(kinds.map(([name]) => [name, []]))
  const sizes = new Map<string, number>()
  for (const [name, derive] of kinds) {
    const before = memoryUse().heap
    const scope = yield* Scope.make()
    yield* Scope.provide(derive(table, hostsTable, otherTable), scope)
    sizes.set(name, (memoryUse().heap - before) / keys)
    for (let n = 0; n < rounds; n++) {
      const ns = write()
      if (n * 3 >= rounds) times.get(name)!.push(ns)
    }
    yield* Scope.close(scope, Exit.void)
  }

  const turns: Array<{ readonly name: string; readonly max: number; readonly cpuMs: number; readonly ms: number }> = []
  for (const [name, derives] of replaced) {
    const scope = yield* Scope.make()
    for (const derive of derives) yield* Scope.provide(derive(table, hostsTable, otherTable), scope)
    const found: typeof turns = []
    for (let n = 0; n < 3; n++) {
      version++
      const next = contentsOf(keys, keyOf, (id) => serviceOf(id, version))
      // What the making of it left behind is not the tables'.
      globalThis.gc?.()
      const started = performance.now()
      const longest = yield* Effect.forkChild(
        longestTurn(() => services.contents === next),
        { startImmediately: true }
      )
      yield* services.replace(next, nothing)
      const ms = performance.now() - started
      found.push({ name, ms, ...(yield* Fiber.join(longest)) })
    }
    turns.push({
      name,
      ms: median(found.map(({ ms }) => ms)),
      max: median(found.map(({ max }) => max)),
      cpuMs: median(found.map(({ cpuMs }) => cpuMs))
    })
    yield* Scope.close(scope, Exit.void)
  }

  /** Of a stream's elements, each looked up in the table; and of a stream that does no more than to look at each. */
  const elements = Array.from({ length: LOOKUPS }, (_, i) => (i * 7_919) % keys)
  const nsPerElement = Effect.fnUntraced(function* (passed: Stream.Stream<unknown>) {
    const found: Array<number> = []
    for (let n = 0; n < 5; n++) {
      const before = process.cpuUsage()
      yield* Stream.runDrain(passed)
      const { system, user } = process.cpuUsage(before)
      found.push(((system + user) * 1000) / LOOKUPS)
    }
    return Math.min(...found)
  })
  const passed = Stream.fromIterable(elements)
  const asItIs = yield* nsPerElement(Stream.map(passed, (id) => [id, Option.some(keyOf(id))]))
  const lookedUp = yield* nsPerElement(Table.lookup(passed, table, keyOf))
  const waitedFor = yield* nsPerElement(Table.lookup(passed, table, keyOf, { waitFor: () => Effect.void }))

  const client = "effect-ktables"
  const about = `${keys} keys, ${changes} changes`
  // Others on the machine only ever make a round slower.
  const of = (name: string): number => Math.min(...times.get(name)!)
  const base = of("none")
  return [
    { metric: "operators", client, detail: `the table itself, ${about}`, keys, nsPerOp: base },
    ...operators.map(([name]) => ({
      metric: "operators",
      client,
      detail: `${name}, ${about}`,
      keys,
      nsPerOp: of(name) - base,
      ratio: (of(name) - base) / base,
      bytesPerKey: sizes.get(name)!
    })),
    ...(
      [
        ["a stream that is mapped", asItIs],
        ["lookup", lookedUp],
        ["lookup that waits for each", waitedFor]
      ] as const
    ).map(([name, nsPerOp]) => ({
      metric: "operators on streams",
      client,
      detail: `${name}, ${LOOKUPS} elements`,
      keys,
      nsPerOp
    })),
    ...turns.map(({ name, ...turn }) => ({
      metric: "operators replaced",
      client,
      detail: `longest turn of the event loop, ${name}, ${keys} keys`,
      keys,
      ...turn
    }))
  ]
})

const nothing = () => {}
