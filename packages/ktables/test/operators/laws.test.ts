/**
 * The laws of operators: at every version that anybody can read, each derived table is what plain code makes of its roots'
 * contents, whatever is committed, replaced, made and closed meanwhile.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, HashMap, Option, Order, Result, Scope, Stream, SubscriptionRef } from "effect"
import { Table } from "effect-ktables"
import { type Chance, chance, propertyTimeout, seedsOf } from "../support/chance.ts"
import { contentsOf, hurried, put, type Root, rootOf, shown } from "./fixtures.ts"

type Numbers = Map<string, number>
type NumberTable<E = unknown> = Table.Table<string, number, E>

/** A table, and what it has to contain. */
interface Node {
  readonly name: string
  readonly table: NumberTable
  readonly wanted: () => Numbers
  readonly scope: Scope.Closeable | undefined
  /** All that it stands on. */
  readonly under: ReadonlySet<Node>
}

/** An operator in two ways: as it is, and in plain code over whole maps. */
interface Operator {
  readonly sources: number
  readonly derive: (...tables: ReadonlyArray<NumberTable>) => Effect.Effect<NumberTable, never, Scope.Scope>
  readonly plain: (...maps: ReadonlyArray<Numbers>) => Numbers
}

const entriesOf = (map: Numbers, f: (value: number, key: string) => number | undefined): Numbers => {
  const made: Numbers = new Map()
  for (const [key, value] of map) {
    const output = f(value, key)
    if (output !== undefined) made.set(key, output)
  }
  return made
}

const isEven = (n: number): boolean => n % 2 === 0

/** Throws for some values. */
const half = (n: number): number => {
  if (n % 3 === 0) throw new Error(`${n} is odd`)
  return n / 2
}

const groupOf = (n: number): string => `k${n % 5}`

const groupsOf = (n: number): ReadonlyArray<string> => {
  if (n % 11 === 3) throw new Error(`${n} has no groups`)
  return n % 7 === 0 ? [] : [`k${n % 5}`, `k${n % 3}`]
}

const sumOf = (group: HashMap.HashMap<string, number>): number => HashMap.reduce(group, 0, (sum, n) => sum + n)

const grouped = (map: Numbers, f: (value: number) => ReadonlyArray<string>): Numbers => {
  const sums: Numbers = new Map()
  for (const value of map.values())
    for (const group of new Set(f(value))) sums.set(group, (sums.get(group) ?? 0) + value)
  return sums
}

/** Many refer to one, and some to none. */
const referenceOf = (n: number): string | undefined => (n % 9 === 0 ? undefined : `k${n % 60}`)

const numberOf = (difference: Table.Difference<number>): number => {
  switch (difference._tag) {
    case "Added":
      return difference.to
    case "Removed":
      return -difference.from
    case "Changed":
      return difference.from * 1000 + difference.to
  }
}

const mapped = (n: number | undefined, f: (n: number) => number): number | undefined =>
  n === undefined ? undefined : f(n)

const operators: Readonly<Record<string, Operator>> = {
  map: {
    sources: 1,
    derive: (table) => Table.map(table!, (n, key) => n * 2 + key.length),
    plain: (map) => entriesOf(map!, (n, key) => n * 2 + key.length)
  },
  "map to few values": {
    sources: 1,
    derive: (table) => Table.map(table!, (n) => n % 3),
    plain: (map) => entriesOf(map!, (n) => n % 3)
  },
  "map that skips": {
    sources: 1,
    derive: (table) => Table.map(table!, half, { onError: "skip" }),
    plain: (map) => entriesOf(map!, (n) => (n % 3 === 0 ? undefined : half(n)))
  },
  filter: {
    sources: 1,
    derive: (table) => Table.filter(table!, isEven),
    plain: (map) => entriesOf(map!, (n) => (isEven(n) ? n : undefined))
  },
  filterMap: {
    sources: 1,
    derive: (table) => Table.filterMap(table!, (n) => (isEven(n) ? Result.succeed(n + 1) : Result.failVoid)),
    plain: (map) => entriesOf(map!, (n) => (isEven(n) ? n + 1 : undefined))
  },
  "index, summed": {
    sources: 1,
    derive: (table) => Effect.flatMap(Table.index(table!, groupOf), Table.map(sumOf)),
    plain: (map) => grouped(map!, (n) => [groupOf(n)])
  },
  "index by several, summed": {
    sources: 1,
    derive: (table) => Effect.flatMap(Table.index(table!, groupsOf, { onError: "skip" }), Table.map(sumOf)),
    plain: (map) => grouped(map!, (n) => (n % 11 === 3 ? [] : groupsOf(n)))
  },
  sorted: {
    sources: 1,
    derive: (table) => Table.sorted(table!),
    plain: (map) => map!
  },
  "sorted backwards, mapped": {
    sources: 1,
    derive: (table) =>
      Effect.flatMap(
        Table.sorted(table!, Order.flip(Order.String)),
        Table.map((n, key) => n + key.length)
      ),
    plain: (map) => entriesOf(map!, (n, key) => n + key.length)
  },
  union: {
    sources: 2,
    derive: (left, right) => Table.union(left!, right!),
    plain: (left, right) => new Map([...left!, ...right!])
  },
  "diff, in numbers": {
    sources: 2,
    derive: (left, right) => Effect.flatMap(Table.diff(left!, right!), Table.map(numberOf)),
    plain: (left, right) => {
      const made: Numbers = new Map()
      for (const [key, to] of right!) {
        const from = left!.get(key)
        if (from === undefined) made.set(key, numberOf({ _tag: "Added", to }))
        else if (from !== to) made.set(key, numberOf({ _tag: "Changed", from, to }))
      }
      for (const [key, from] of left!) if (!right!.has(key)) made.set(key, numberOf({ _tag: "Removed", from }))
      return made
    }
  },
  join: {
    sources: 2,
    derive: (left, right) => Table.join(left!, right!, (a, b, key) => a * 3 + b + key.length),
    plain: (left, right) => entriesOf(left!, (a, key) => mapped(right!.get(key), (b) => a * 3 + b + key.length))
  },
  leftJoin: {
    sources: 2,
    derive: (left, right) => Table.leftJoin(left!, right!, (a, b) => a * 3 + Option.getOrElse(b, () => -1)),
    plain: (left, right) => entriesOf(left!, (a, key) => a * 3 + (right!.get(key) ?? -1))
  },
  "join by a foreign key": {
    sources: 2,
    derive: (left, right) => Table.join(left!, right!, (a, b) => a * 3 + b, { on: referenceOf }),
    plain: (left, right) => entriesOf(left!, (a) => mapped(right!.get(referenceOf(a) ?? ""), (b) => a * 3 + b))
  },
  "leftJoin by a foreign key that skips": {
    sources: 2,
    derive: (left, right) =>
      Table.leftJoin(left!, right!, (a, b) => half(a + Option.getOrElse(b, () => 1)), {
        on: referenceOf,
        onError: "skip"
      }),
    plain: (left, right) =>
      entriesOf(left!, (a) => {
        const sum = a + (right!.get(referenceOf(a) ?? "") ?? 1)
        return sum % 3 === 0 ? undefined : half(sum)
      })
  }
}

/** More than are done between two looks at the clock, so that what is done in slices takes several. */
const KEYS = 200

const keyOf = ({ below }: Chance): string => `k${below(KEYS)}`

/** Follows a node by its changes: they have to add up to what it contains, whenever they come. */
const followed = Effect.fnUntraced(function* (node: Node, problems: Array<string>, look: (where: string) => void) {
  const model = new Map<string, number>()
  yield* Effect.forkScoped(
    Stream.runForEach(node.table.changeBatches, (batch) =>
      Effect.sync(() => {
        const keys = new Set<string>()
        for (const change of batch) {
          if (change._tag === "Snapshot") {
            model.clear()
            for (const [key, value] of change.entries) model.set(key, value)
            continue
          }
          const before = model.get(change.key)
          const previous = change._tag === "Deleted" ? change.previous : Option.getOrUndefined(change.previous)
          if (previous !== before) problems.push(`${node.name}: ${change.key} was ${before}, not ${previous}`)
          if (keys.has(change.key)) problems.push(`${node.name}: ${change.key} changed twice in a batch`)
          keys.add(change.key)
          if (change._tag === "Set") model.set(change.key, change.value)
          else model.delete(change.key)
        }
        look(`a change of ${node.name}`)
      })
    ),
    { startImmediately: true }
  )
  return model
})

const cases = seedsOf(12, 2000)

describe("derived tables", () => {
  for (const seed of cases) {
    it.effect(
      `contain what plain code makes of their roots, at every version that can be read (seed ${seed})`,
      () =>
        Effect.gen(function* () {
          yield* hurried
          const random = chance(seed)
          const { below, happens, pick } = random
          const entries = (most: number) =>
            // Each key once: a root's batch may hold a key twice, and so may what is made of it.
            new Map(Array.from({ length: below(most) }, () => [keyOf(random), below(50)] as const))
          const roots: ReadonlyArray<Root<string, number>> = [
            rootOf("a", entries(2 * KEYS)),
            rootOf("b", entries(2 * KEYS))
          ]
          /** Made once for all that is looked at between two changes of a root. */
          const once = (make: () => Numbers): (() => Numbers) => {
            const versions = () => roots.map(({ cell }) => cell.contents.version).join()
            let [madeAt, made] = ["", new Map<string, number>()]
            return () => {
              const now = versions()
              if (now !== madeAt) [madeAt, made] = [now, make()]
              return made
            }
          }
          const nodes: Array<Node> = roots.map(({ cell, table }) => ({
            name: cell.name,
            table,
            wanted: once(() => new Map(cell.contents)),
            scope: undefined,
            under: new Set()
          }))
          const problems: Array<string> = []
          const refs = new Map<NumberTable, Array<SubscriptionRef.SubscriptionRef<HashMap.HashMap<string, number>>>>()
          /** States of refs are compared in whole once. */
          const compared = new WeakSet<object>()
          let looks = 0
          const look = (where: string): void => {
            looks++
            for (const { name, table, wanted } of nodes) {
              const should = wanted()
              if (table.view.size !== should.size) {
                problems.push(`${name} at ${where}: ${table.view.size} entries and not ${should.size}`)
              }
              for (const [key, value] of should) {
                const is = table.view.get(key)
                if (is !== value) problems.push(`${name} at ${where}: ${key} is ${is} and not ${value}`)
              }
              for (const ref of refs.get(table) ?? []) {
                const state = SubscriptionRef.getUnsafe(ref)
                if (state !== Effect.runSync(table.snapshot)) problems.push(`${name} at ${where}: another snapshot`)
                if (HashMap.size(state) === should.size && compared.has(state)) continue
                compared.add(state)
                if (!HashMap.every(state, (n, key) => should.get(key) === n) || HashMap.size(state) !== should.size) {
                  problems.push(`a ref of ${name} at ${where} is not what the table contains`)
                }
              }
            }
          }
          const models = new Map<Node, Map<string, number>>()
          const follow = (node: Node) =>
            Effect.map(followed(node, problems, look), (model) => {
              // It may have been closed before it was followed.
              if (nodes.includes(node)) models.set(node, model)
            })
          for (const node of nodes) yield* follow(node)

          const commit = (root: Root<string, number>) =>
            put(
              root,
              Array.from(entries(6), ([key, value]) => [key, happens(0.3) ? undefined : value] as const),
              () => look(`a write to ${root.cell.name}`)
            )
          const derived = Effect.gen(function* () {
            const [name, { derive, plain, sources }] = pick(Object.entries(operators))
            const from = Array.from({ length: sources }, () => pick(nodes))
            const scope = yield* Scope.make()
            const table = yield* Scope.provide(derive(...from.map(({ table }) => table)), scope)
            // What it is made of may have been closed meanwhile.
            if ((yield* table.status)._tag === "Closed") return
            const node: Node = {
              scope,
              under: new Set(from.flatMap((node) => [node, ...node.under])),
              name: `${name}(${from.map(({ name }) => name).join(", ")})`,
              table,
              wanted: once(() => plain(...from.map(({ wanted }) => wanted())))
            }
            nodes.push(node)
            if (happens(0.7)) yield* follow(node)
            look(`the making of ${node.name}`)
          })

          const referred = Effect.gen(function* () {
            const { name, scope, table } = pick(nodes)
            const ref = yield* scope === undefined ? Table.ref(table) : Scope.provide(Table.ref(table), scope)
            // It may have been closed meanwhile.
            if ((yield* table.status)._tag === "Closed") return
            refs.set(table, [...(refs.get(table) ?? []), ref])
            let last: HashMap.HashMap<string, number> | undefined
            yield* Effect.forkScoped(
              Stream.runForEach(SubscriptionRef.changes(ref), (state) =>
                Effect.sync(() => {
                  if (state === last) problems.push(`a ref of ${name} published a version twice`)
                  last = state
                  if (happens(0.3)) look(`a version of a ref of ${name}`)
                })
              ),
              { startImmediately: true }
            )
          })

          const close = Effect.gen(function* () {
            const node = pick(nodes)
            if (node.scope === undefined) return
            yield* Scope.close(node.scope, Exit.void)
            for (const other of nodes.filter((other) => other === node || other.under.has(node))) {
              nodes.splice(nodes.indexOf(other), 1)
              models.delete(other)
              refs.delete(other.table)
              if ((yield* other.table.status)._tag !== "Closed") problems.push(`${other.name} is not closed`)
            }
          })

          for (let step = 0; step < 40; step++) {
            const busy: Array<Fiber.Fiber<void>> = []
            /** Roots that must not be committed to, since they are replaced. */
            const replaced = new Set<Root<string, number>>()
            const replace = (root: Root<string, number>) => {
              replaced.add(root)
              return root.cell.replace(contentsOf(entries(2 * KEYS)), () =>
                look(`the replacement of ${root.cell.name}`)
              )
            }
            if (nodes.length < 9 && happens(0.4)) busy.push(yield* Effect.forkScoped(derived))
            if (refs.size < 3 && happens(0.2)) busy.push(yield* Effect.forkScoped(referred))
            if (happens(0.3)) busy.push(yield* Effect.forkScoped(replace(pick(roots))))
            if (happens(0.15)) {
              for (const root of roots) if (!replaced.has(root)) busy.push(yield* Effect.forkScoped(replace(root)))
            }
            const isBusy = () => busy.some((fiber) => fiber.pollUnsafe() === undefined)
            do {
              const free = roots.filter((root) => !replaced.has(root))
              if (free.length > 0) commit(pick(free))
              look("a step")
              if (happens(0.03)) yield* close
              yield* Effect.yieldNow
            } while (isBusy())
            yield* Fiber.joinAll(busy)
          }
          // Who began to follow last has its snapshot made in slices.
          for (let turn = 0; turn < 2 * KEYS; turn++) yield* Effect.yieldNow
          assert.deepStrictEqual(problems.slice(0, 3), [])
          assert.isAbove(looks, 80)
          for (const [{ name, table }, model] of models) assert.deepStrictEqual(shown(model), shown(table.view), name)
        }),
      propertyTimeout
    )
  }
})
