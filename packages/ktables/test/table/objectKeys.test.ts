import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { BigDecimal, DateTime, Effect, Equal, Hash, Option, Result, Schema } from "effect"
import { Codec, KafkaTable, TableTopic } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { KeyIndex } from "../../src/internal/table/keyIndex.ts"
import { chance } from "../support/chance.ts"
import { collidingText } from "../support/collidingText.ts"
import { onMemory } from "./fixtures.ts"

class Id extends Schema.Class<Id>("Id")({ tenant: Schema.String, id: Schema.Int }) {
  get path(): string {
    return `${this.tenant}/${this.id}`
  }
}
class Sibling extends Id {}
class Point {
  readonly x: number
  constructor(x: number) {
    this.x = x
  }
  twice(): number {
    return 2 * this.x
  }
}
class Bare {
  readonly x: number
  constructor(x: number) {
    this.x = x
  }
}

const ring = (x: number): object => {
  const it: { x: number; next?: object } = { x }
  it.next = it
  return it
}

/** Few values of many kinds, so that many pairs are equal. */
const anything = (seed: number): unknown => {
  const { below, pick } = chance(seed)
  const some = (depth: number): unknown => {
    const leaf = below(2)
    const part = () => some(depth - 1)
    const kinds: ReadonlyArray<() => unknown> = [
      () => leaf,
      () => pick([0, -0, Number.NaN, 1.5, 1e21]),
      () => pick(["0", "1", "a", "a,b", '"', "\\ud800", "\ud800", ""]),
      () => pick([null, undefined, true, false, 0n, 1n]),
      () => new Date(leaf),
      () => pick([Uint8Array.of(leaf), Buffer.from([leaf]), Int8Array.of(leaf), Int8Array.of(-leaf)]),
      () => pick([Uint16Array.of(leaf, 1), Int16Array.of(leaf, 1), Float64Array.of(leaf), new Uint8Array(0)]),
      () => new Point(leaf),
      () => new Bare(leaf),
      () => pick([new Id({ tenant: "t", id: leaf }), new Sibling({ tenant: "t", id: leaf })]),
      () => ({ x: leaf }),
      () => pick([BigDecimal.make(BigInt(leaf), 0), DateTime.makeUnsafe(leaf), /a/, /b/]),
      () => ring(leaf)
    ]
    if (depth === 0) return pick(kinds)()
    return pick<() => unknown>([
      () => pick(kinds)(),
      () => ({ a: part(), b: part() }),
      () => ({ b: part(), a: part() }),
      () => ({ a: part() }),
      () => Object.assign(Object.create(null), { a: part() }),
      () => [part()],
      () => [part(), part()],
      () => pick([Option.none(), Option.some(part())]),
      () => pick([Result.succeed(part()), Result.fail(part())]),
      () => new Set([part(), part()]),
      () => new Map([[part(), part()]])
    ])()
  }
  return some(below(3))
}

describe("the index of keys that are objects", () => {
  for (const [name, keyOf] of [
    ["structs", (text: string): object => ({ kind: "order", text })],
    ["instances of a schema's class", (text: string): object => new Id({ tenant: text, id: 1 })],
    ["tuples", (text: string): object => [text, 1]],
    ["options", (text: string): object => Option.some(text)]
  ] as const) {
    it(`takes no longer for 8,000 ${name} that were chosen to have one hash`, () => {
      const texts = Array.from({ length: 8000 }, (_, n) => collidingText(n))
      assert.strictEqual(new Set(texts.map(Hash.string)).size, 1)
      const index = new KeyIndex<unknown, number>()
      const started = performance.now()
      for (const [n, text] of texts.entries()) index.set(keyOf(text), n)
      for (const [n, text] of texts.entries()) assert.strictEqual(index.get(keyOf(text)), n)
      assert.isBelow(performance.now() - started, 2000)
    })
  }

  it("finds a key by every other that Equal calls equal, and by no other", () => {
    const all = Array.from({ length: 400 }, (_, seed) => anything(seed + 1)).filter(
      (value) => typeof value === "object" && value !== null
    )
    let equal = 0
    for (const key of all) {
      const index = new KeyIndex<unknown, string>()
      index.set(key, "here")
      for (const other of all) {
        const isEqual = Equal.equals(key, other)
        if (isEqual && key !== other) equal++
        if ((index.get(other) === "here") !== isEqual)
          assert.fail(`${inspect(key)} and ${inspect(other)}: Equal says ${isEqual}`)
      }
      index.delete(key)
      assert.strictEqual(Array.from(index).length, 0)
    }
    assert.isAbove(equal, 200)
  })

  it("gives back the keys themselves, and one of several that are equal", () => {
    const index = new KeyIndex<object, number>(2)
    const keys = Array.from({ length: 7 }, (_, id) => new Id({ tenant: "t", id }))
    for (const [n, key] of keys.entries()) index.set(key, n)
    index.set(new Id({ tenant: "t", id: 3 }), 30)
    assert.deepStrictEqual(
      Array.from(index, ([key, n]) => [(key as Id).path, n]),
      [0, 1, 2, 30, 4, 5, 6].map((n) => [`t/${n % 27}`, n])
    )
  })
})

describe("a table by structs", () => {
  it.effect("loads and follows 8,000 that were chosen to have one hash as any others", () =>
    onMemory(
      Effect.gen(function* () {
        const memory = yield* MemoryKafka.MemoryKafka
        yield* memory.createTopic("orders")
        const id = (n: number) => ({ shop: collidingText(n), kind: "order" })
        const records = (from: number, to: number, value: string | null) =>
          Array.from({ length: to - from }, (_, n) => ({ key: JSON.stringify(id(from + n)), value }))
        yield* memory.append("orders", records(0, 6000, "1"))
        const started = performance.now()
        const topic = TableTopic.make({
          name: "orders",
          key: Codec.json(Schema.Struct({ shop: Schema.String, kind: Schema.String })),
          value: Schema.Int
        })
        const table = yield* KafkaTable.make(topic)
        yield* memory.append("orders", records(6000, 8000, "2"))
        yield* memory.append("orders", records(0, 1000, null))
        yield* table.barrier()
        assert.isBelow(performance.now() - started, 10_000)
        assert.strictEqual(table.view.size, 7000)
        assert.deepStrictEqual(
          [999, 1000, 7999].map((n) => table.view.get(id(n))),
          [undefined, 1, 2]
        )
      })
    )
  )
})
