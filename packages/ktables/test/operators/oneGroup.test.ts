/**
 * The laws of groups: at every version that anybody can read, reads by group are what plain code makes of the entries, and so
 * is the table of one group, whatever is committed, replaced, made and closed meanwhile.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Scope, Stream } from "effect"
import { type Codec, Table, type TableChange, TableError } from "effect-ktables"
import { GroupRoutes } from "../../src/internal/operators/groupRoutes.ts"
import { oneGroup } from "../../src/internal/operators/oneGroup.ts"
import { Cell } from "../../src/internal/table/cell.ts"
import { CellTable } from "../../src/internal/table/cellTable.ts"
import { Contents } from "../../src/internal/table/contents.ts"
import { GroupedTableView } from "../../src/internal/table/groupedView.ts"
import { GroupIndex } from "../../src/internal/table/groupIndex.ts"
import { Brittle } from "../support/brittle.ts"
import { chance, propertyTimeout, seedsOf } from "../support/chance.ts"
import { hurried, onBatch, put, shown } from "./fixtures.ts"

type Key = Codec.GroupKey<string, string>
type Entries = Iterable<readonly [Key, number]>

const contentsOf = (entries: Entries): Contents<Key, number> => {
  const contents = new Contents<Key, number>(new GroupIndex())
  contents.mutate(() => {
    for (const [key, value] of entries) contents.set(key, value)
  }, false)
  return contents
}

const rootOf = (entries: Entries = []) => {
  const cell = new Cell<Key, number, TableError.TopicDeleted>({
    name: "rooms",
    contents: contentsOf(entries),
    same: Object.is,
    capacity: 100_000
  })
  cell.setStatus({ _tag: "CaughtUp" })
  return { cell, routes: new GroupRoutes(cell), table: new CellTable(cell), view: new GroupedTableView(cell) }
}

const groupOf = ({ routes }: ReturnType<typeof rootOf>, group: string) =>
  Effect.map(oneGroup(routes, group), (cell) => new CellTable(cell))

const key = (group: string, member: string): Key => ({ group, member })

describe("the table of a group", () => {
  it.effect("has the members of its group, in step with the table, and its changes one by one", () =>
    Effect.gen(function* () {
      const root = rootOf([[key("a", "x"), 1], [key("b", "x"), 2]]) // prettier-ignore
      const a = yield* groupOf(root, "a")
      const batches: Array<ReadonlyArray<TableChange.TableChange<string, number>>> = []
      yield* onBatch(a, (changes) => batches.push(changes))
      yield* Effect.yieldNow
      const seen: Array<unknown> = []
      put(
        root,
        [
          [key("a", "y"), 3],
          [key("b", "y"), 4],
          [key("a", "x"), 1],
          [key("a", "y"), undefined]
        ],
        () =>
          // prettier-ignore
          seen.push([...a.view])
      )
      put(root, [[key("b", "x"), undefined]])
      assert.deepStrictEqual(seen, [[["x", 1]]])
      assert.deepStrictEqual(batches, [
        [
          { _tag: "Set", key: "y", value: 3, previous: Option.none() },
          { _tag: "Set", key: "x", value: 1, previous: Option.some(1) },
          { _tag: "Deleted", key: "y", previous: 3 }
        ]
      ])
    })
  )

  it.effect("is empty while there is no such group, and fills when one comes", () =>
    Effect.gen(function* () {
      const root = rootOf()
      const a = yield* groupOf(root, "a")
      const states = yield* Effect.forkScoped(Stream.runCollect(Stream.take(a.watch("x"), 3)), {
        startImmediately: true
      })
      assert.strictEqual(yield* a.size, 0)
      put(root, [[key("a", "x"), 1]])
      assert.isTrue(root.view.hasGroup("a"))
      put(root, [[key("a", "x"), undefined]])
      assert.isFalse(root.view.hasGroup("a"))
      assert.deepStrictEqual(yield* Fiber.join(states), [Option.none(), Option.some(1), Option.none()])
    })
  )

  it.effect("fails where its group cannot be compared with one that is written, and its table goes on", () =>
    Effect.gen(function* () {
      const cell = new Cell<Codec.GroupKey<Brittle, string>, number, TableError.TopicDeleted>({
        name: "rooms",
        contents: new Contents(new GroupIndex<Brittle, string>()),
        same: Object.is,
        capacity: 100
      })
      cell.setStatus({ _tag: "CaughtUp" })
      const routes = new GroupRoutes(cell)
      const [a, b] = yield* Effect.all([oneGroup(routes, new Brittle("a")), oneGroup(routes, new Brittle("b"))])
      /** `after` runs once the entry is written: what a log brings is compared record by record. */
      const commit = (name: string, value: number, after = () => {}) => {
        let isReached = false
        cell.commit(
          () => {
            cell.contents.set({ group: new Brittle(name), member: "x" }, value)
            after()
          },
          () => (isReached = true)
        )
        assert.isTrue(isReached)
      }
      commit("a", 1)
      commit("a", 2, () => (Brittle.isBroken = true))
      Brittle.isBroken = false
      for (const { contents, status } of [a, b]) {
        assert.strictEqual(status._tag, "Failed")
        assert.instanceOf(status._tag === "Failed" && status.error, TableError.DerivationFailed)
        assert.deepStrictEqual(contents.entries(), contents === a.contents ? [["x", 1]] : [])
      }
      commit("b", 3)
      assert.deepStrictEqual(cell.contents.values(), [2, 3])
    })
  )

  it.effect("has its table's state, and costs it nothing once its scope is closed", () =>
    Effect.gen(function* () {
      const root = rootOf([[key("a", "x"), 1]])
      const scope = yield* Scope.make()
      const closed = yield* Scope.provide(groupOf(root, "a"), scope)
      const left = yield* groupOf(root, "a")
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* closed.status)._tag, "Closed")
      put(root, [[key("a", "x"), 2]])
      assert.strictEqual(closed.view.get("x"), 1)
      assert.strictEqual(left.view.get("x"), 2)
      root.cell.setStatus({ _tag: "Rebuilding", reason: { _tag: "KeysMoved" } as never, replayed: 0, target: 1 })
      assert.strictEqual((yield* left.status)._tag, "Rebuilding")
      root.cell.close()
      assert.strictEqual((yield* left.status)._tag, "Closed")
      assert.isFalse(root.cell.hasDependents)
    })
  )

  it.effect("is given the difference when its table is replaced", () =>
    Effect.gen(function* () {
      const root = rootOf([[key("a", "x"), 1], [key("a", "y"), 2], [key("b", "x"), 3]]) // prettier-ignore
      const a = yield* groupOf(root, "a")
      const batches: Array<unknown> = []
      yield* onBatch(a, (changes) => batches.push(changes.map(({ _tag, key }) => `${_tag} ${key}`).sort()))
      yield* Effect.yieldNow
      yield* root.cell.replace(contentsOf([[key("a", "y"), 2], [key("a", "z"), 4], [key("b", "x"), 5]]), () => {}) // prettier-ignore
      assert.deepStrictEqual(batches, [["Deleted x", "Set z"]])
      assert.deepStrictEqual(shown(a.view), [["y", 2], ["z", 4]]) // prettier-ignore
      assert.deepStrictEqual(root.view.members("b"), [["x", 5]])
    })
  )

  it.effect("is in step with what is derived from its table by another way, so that a join of both changes once", () =>
    Effect.gen(function* () {
      const root = rootOf([[key("a", "x"), 1]])
      const tens = yield* Table.map(root.table, (n) => 10 * n)
      const a = yield* groupOf(root, "a")
      const sums = yield* Table.join(a, tens, (n, ten) => n + ten, { on: (_, member) => key("a", member) })
      const batches: Array<unknown> = []
      yield* onBatch(sums, (changes) =>
        batches.push(changes.map((change) => (change._tag === "Set" ? [change.key, change.value] : change.key)))
      )
      yield* Effect.yieldNow
      put(root, [[key("a", "x"), 2], [key("a", "y"), 3]]) // prettier-ignore
      put(root, [[key("a", "x"), undefined]])
      assert.deepStrictEqual(batches, [[["x", 22], ["y", 33]], ["x"]]) // prettier-ignore
    })
  )

  it.effect("takes values of a replacement for the same where its table does", () =>
    Effect.gen(function* () {
      class Port {
        readonly port: number
        constructor(port: number) {
          this.port = port
        }
      }
      const contents = (ports: ReadonlyArray<number>) => {
        const made = new Contents<Key, Port>(new GroupIndex())
        made.mutate(() => ports.forEach((port, n) => made.set(key("a", `${n}`), new Port(port))), false)
        return made
      }
      const cell = new Cell<Key, Port, never>({
        name: "ports",
        contents: contents([1, 2]),
        same: (a, b) => a.port === b.port,
        capacity: 100
      })
      const a = new CellTable(yield* oneGroup(new GroupRoutes(cell), "a"))
      const batches: Array<unknown> = []
      yield* onBatch(a, (changes) => batches.push(changes.map(({ key }) => key)))
      yield* Effect.yieldNow
      yield* cell.replace(contents([1, 3]), () => {})
      assert.deepStrictEqual(batches, [["1"]])
    })
  )

  it("is handed what changes its group, and nothing of others", () => {
    const { cell, routes } = rootOf()
    const seen: Array<string> = []
    const follow = (group: string) =>
      routes.attach(group, {
        dependent: {
          height: 1,
          propagate: () => seen.push(`${group} is visited`),
          prepare: () => Effect.void
        },
        receive: ({ changes, slots }) =>
          changes.forEach(({ key }, i) => {
            assert.strictEqual(slots[i], cell.contents.slotOf(key))
            seen.push(`${group}: ${key.group}.${key.member}`)
          }),
        receiveNext: () => assert.fail("what a log fills is not changed before it is there")
      })
    const detach = [follow("a"), follow("a"), follow("b"), follow("c")]
    const written = [[key("a", "x"), 1], [key("d", "x"), 1], [key("a", "y"), 2], [key("c", "x"), 3]] as const // prettier-ignore
    put({ ...rootOf(), cell }, written)
    const ofA = ["a: a.x", "a: a.y"]
    assert.deepStrictEqual(seen.splice(0).toSorted(), [...ofA, ...ofA, "a is visited", "a is visited", "c is visited", "c: c.x"].toSorted()) // prettier-ignore
    detach[0]!()
    detach[3]!()
    detach[3]!()
    put({ ...rootOf(), cell }, written)
    assert.deepStrictEqual(seen.splice(0), [...ofA, "a is visited"])
    put({ ...rootOf(), cell }, [[key("b", "x"), 1]])
    assert.deepStrictEqual(seen.splice(0), ["b: b.x", "b is visited"])
    for (const one of detach) one()
    assert.isFalse(cell.hasDependents)
    put({ ...rootOf(), cell }, written)
    assert.deepStrictEqual(seen, [])
  })

  for (const seed of seedsOf(20, 2000)) {
    it.effect(
      `and all reads by group are what plain code makes of the entries, at every version (seed ${seed})`,
      () =>
        Effect.gen(function* () {
          yield* hurried
          const random = chance(seed)
          const { below, happens, pick } = random
          const groups = Array.from({ length: 1 + below(6) }, (_, n) => `g${n}`)
          const anyKey = () => key(pick(groups), `m${below(40)}`)
          const entries = (most: number) =>
            new Map(
              Array.from({ length: below(most) }, () => anyKey()).map((one) => [JSON.stringify(one), one])
            ).values()
          const numbered = (most: number) => Array.from(entries(most), (one) => [one, below(20)] as const)
          const root = rootOf(numbered(100))
          const { cell, view } = root

          interface Follower {
            readonly group: string
            readonly table: Table.Table<string, number, TableError.TopicDeleted>
            readonly doubled: Table.Table<string, number, TableError.TopicDeleted | TableError.DerivationFailed>
            readonly scope: Scope.Closeable
            readonly model: Map<string, number>
          }
          const followers: Array<Follower> = []
          const problems: Array<string> = []
          let looks = 0
          const same = (
            where: string,
            is: Iterable<readonly [string, number]>,
            should: ReadonlyMap<string, number>
          ) => {
            const [a, b] = [JSON.stringify(shown(is)), JSON.stringify(shown(should))]
            if (a !== b) problems.push(`${where}: ${a} and not ${b}`)
          }
          const look = (where: string): void => {
            looks++
            const should = new Map<string, Map<string, number>>()
            for (const [{ group, member }, value] of cell.contents) {
              should.set(group, (should.get(group) ?? new Map<string, number>()).set(member, value))
            }
            if (view.groups().toSorted().join() !== [...should.keys()].sort().join()) {
              problems.push(`the groups at ${where}: ${view.groups().join()}`)
            }
            for (const group of [...groups, "none"]) {
              const members = should.get(group) ?? new Map<string, number>()
              same(`${group} at ${where}`, view.members(group), members)
              if (view.memberCount(group) !== members.size) problems.push(`the count of ${group} at ${where}`)
              if (view.hasGroup(group) !== members.size > 0) problems.push(`whether there is ${group} at ${where}`)
              for (const [member, value] of members) {
                if (view.get({ group, member }) !== value) problems.push(`${member} of ${group} at ${where}`)
              }
            }
            for (const { doubled, group, table } of followers) {
              const members = should.get(group) ?? new Map<string, number>()
              same(`the table of ${group} at ${where}`, table.view, members)
              same(
                `what stands on the table of ${group} at ${where}`,
                doubled.view,
                new Map(Array.from(members, ([member, value]) => [member, 2 * value]))
              )
            }
          }

          const follow = Effect.gen(function* () {
            const group = pick(groups)
            const scope = yield* Scope.make()
            const table = yield* Scope.provide(groupOf(root, group), scope)
            const doubled = yield* Scope.provide(
              Table.map(table, (n) => n * 2),
              scope
            )
            const model = new Map<string, number>()
            followers.push({ group, table, doubled, scope, model })
            look(`the making of a table of ${group}`)
            yield* Effect.forkScoped(
              Stream.runForEach(table.changes, (change) =>
                Effect.sync(() => {
                  if (change._tag === "Snapshot") {
                    model.clear()
                    for (const [member, value] of change.entries) model.set(member, value)
                    return
                  }
                  const previous = change._tag === "Deleted" ? change.previous : Option.getOrUndefined(change.previous)
                  if (previous !== model.get(change.key)) problems.push(`${group}: ${change.key} was ${previous}`)
                  if (change._tag === "Set") model.set(change.key, change.value)
                  else model.delete(change.key)
                })
              ),
              { startImmediately: true }
            )
          })

          for (let step = 0; step < 25; step++) {
            const busy: Array<Fiber.Fiber<void>> = []
            const isReplaced = happens(0.3)
            if (followers.length < 5 && happens(0.5)) busy.push(yield* Effect.forkScoped(follow))
            if (isReplaced) {
              busy.push(yield* Effect.forkScoped(cell.replace(contentsOf(numbered(100)), () => look("a replacement"))))
            }
            const isBusy = () => busy.some((fiber) => fiber.pollUnsafe() === undefined)
            do {
              if (!isReplaced) {
                put(
                  root,
                  Array.from(numbered(8), ([one, n]) => [one, happens(0.5) ? undefined : n] as const),
                  () => look("a write")
                )
              }
              look("a step")
              yield* Effect.yieldNow
            } while (isBusy())
            yield* Fiber.joinAll(busy)
            if (followers.length > 0 && happens(0.1)) {
              const [one] = followers.splice(below(followers.length), 1)
              yield* Scope.close(one!.scope, Exit.void)
            }
          }
          for (let turn = 0; turn < 400; turn++) yield* Effect.yieldNow
          assert.deepStrictEqual(problems.slice(0, 3), [])
          assert.isAbove(looks, 50)
          for (const { group, model, table } of followers)
            assert.deepStrictEqual(shown(model), shown(table.view), group)
        }),
      propertyTimeout
    )
  }
})
