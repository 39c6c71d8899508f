/** What the types of operators say: keys, values, and what can end a derived table. */
import { describe, expectTypeOf, it } from "@effect/vitest"
import { Effect, type HashMap, Option, Order, Result, type Scope, Stream, type SubscriptionRef } from "effect"
import { KafkaTable, Table, type TableError, type WriteAck } from "effect-ktables"

type Fruit = { readonly name: string; readonly price: number }
type Fruits = KafkaTable.KafkaTable<string, Fruit>
type Made<A> = A extends Effect.Effect<infer T, infer _E, infer _R> ? T : never
type Tables<E> = Table.Table<string, number, E>

declare const fruits: Fruits
declare const plain: Table.Table<string, Fruit>

/** Types alone are looked at. */
const never = (run: () => unknown): void => {
  expectTypeOf(run).toBeFunction()
}

describe("map, filter and filterMap", () => {
  it("find keys and values by themselves, in pipes and without", () => {
    never(() => {
      const piped = fruits.pipe(
        Table.map((fruit, key) => {
          expectTypeOf(fruit).toEqualTypeOf<Fruit>()
          expectTypeOf(key).toEqualTypeOf<string>()
          return fruit.price
        })
      )
      const called = Table.map(fruits, ({ price }) => price)
      type Expected = Tables<TableError.ReaderError | TableError.DerivationFailed>
      expectTypeOf(piped).toEqualTypeOf<Effect.Effect<Expected, never, Scope.Scope>>()
      expectTypeOf(called).toEqualTypeOf<Effect.Effect<Expected, never, Scope.Scope>>()
    })
  })

  it("leave errors out that cannot be", () => {
    never(() => {
      const skipping = plain.pipe(Table.map(({ price }) => price, { onError: "skip" }))
      expectTypeOf<Made<typeof skipping>>().toEqualTypeOf<Tables<never>>()
      const either = (onError: Table.OnError) => Table.map(plain, ({ price }) => price, { onError })
      expectTypeOf<Made<ReturnType<typeof either>>>().toEqualTypeOf<Tables<TableError.DerivationFailed>>()
    })
  })

  it("narrow values", () => {
    never(() => {
      const optional = null as unknown as Table.Table<string, Option.Option<number>>
      const some = optional.pipe(Table.filter(Option.isSome))
      expectTypeOf<Table.Value<Made<typeof some>>>().toEqualTypeOf<Option.Some<number>>()
      const cheap = Table.filter(plain, ({ price }) => price < 1)
      expectTypeOf<Table.Value<Made<typeof cheap>>>().toEqualTypeOf<Fruit>()
      const prices = plain.pipe(
        Table.filterMap(({ price }) => (price > 0 ? Result.succeed(price) : Result.fail("free" as const)))
      )
      expectTypeOf<Table.Value<Made<typeof prices>>>().toEqualTypeOf<number>()
    })
  })
})

describe("index", () => {
  it("takes the elements of an array for keys of groups, and anything else for one", () => {
    never(() => {
      const one = plain.pipe(Table.index(({ price }, key) => ({ price, key })))
      expectTypeOf<Table.Key<Made<typeof one>>>().toEqualTypeOf<{ price: number; key: string }>()
      expectTypeOf<Table.Value<Made<typeof one>>>().toEqualTypeOf<HashMap.HashMap<string, Fruit>>()
      const several = Table.index(plain, ({ name, price }) => (price > 0 ? [name, name.length] : []))
      expectTypeOf<Table.Key<Made<typeof several>>>().toEqualTypeOf<string | number>()
      const either = Table.index(plain, ({ name, price }) => (price > 0 ? [name] : "free"), { onError: "skip" })
      expectTypeOf<Made<typeof either>>().toEqualTypeOf<Table.Table<string, HashMap.HashMap<string, Fruit>>>()
    })
  })
})

describe("join and leftJoin", () => {
  type Order = { readonly fruit: string; readonly count: number }
  type Orders = Table.Table<number, Order, Error>

  it("find both sides by themselves, by a reference and on the same keys", () => {
    never(() => {
      const orders = null as unknown as Orders
      const piped = orders.pipe(
        Table.join(
          fruits,
          (order, fruit, key) => {
            expectTypeOf(order).toEqualTypeOf<Order>()
            expectTypeOf(fruit).toEqualTypeOf<Fruit>()
            expectTypeOf(key).toEqualTypeOf<number>()
            return order.count * fruit.price
          },
          { on: (order) => order.fruit }
        )
      )
      type Expected = Table.Table<number, number, Error | TableError.ReaderError | TableError.DerivationFailed>
      expectTypeOf<Made<typeof piped>>().toEqualTypeOf<Expected>()
      const called = Table.join(orders, fruits, (order, fruit) => order.count * fruit.price, { on: (o) => o.fruit })
      expectTypeOf<Made<typeof called>>().toEqualTypeOf<Expected>()
      const same = plain.pipe(Table.join(plain, (a, b, key) => [a.price, b.name, key] as const, { onError: "skip" }))
      expectTypeOf<Made<typeof same>>().toEqualTypeOf<Table.Table<string, readonly [number, string, string]>>()
      const left = Table.leftJoin(plain, plain, (_, other) => other)
      expectTypeOf<Table.Value<Made<typeof left>>>().toEqualTypeOf<Option.Option<Fruit>>()
    })
  })

  it("refuse references of another type, and keys that differ without any", () => {
    never(() => {
      const orders = null as unknown as Orders
      expectTypeOf<Table.Key<Orders>>().not.toEqualTypeOf<Table.Key<Fruits>>()
      return [
        // @ts-expect-error a count is no key of fruits
        Table.join(orders, fruits, () => 1, { on: (order) => order.count }),
        // @ts-expect-error orders have numbers for keys, and fruits strings
        Table.join(orders, fruits, () => 1)
      ]
    })
  })
})

describe("union", () => {
  it("is of one type of keys, of both types of values, and fails with what fails either", () => {
    never(() => {
      const names = null as unknown as Table.Table<string, string, Error>
      type Expected = Table.Table<string, Fruit | string, Error | TableError.ReaderError>
      const piped = fruits.pipe(Table.union(names))
      expectTypeOf(piped).toEqualTypeOf<Effect.Effect<Expected, never, Scope.Scope>>()
      expectTypeOf<Made<ReturnType<typeof called>>>().toEqualTypeOf<Expected>()
      const called = () => Table.union(fruits, names)
      const numbers = null as unknown as Table.Table<number, string>
      // @ts-expect-error keys of another type
      return Table.union(fruits, numbers)
    })
  })
})

describe("diff", () => {
  it("is of tables and snapshots of one type, and fails with what fails those that are tables", () => {
    never(() => {
      const snapshot = null as unknown as HashMap.HashMap<string, Fruit>
      type Differences<E> = Table.Table<string, Table.Difference<Fruit>, E>
      const both = () => Table.diff(fruits, plain)
      expectTypeOf(both()).toEqualTypeOf<
        Effect.Effect<Differences<TableError.ReaderError | TableError.DerivationFailed>, never, Scope.Scope>
      >()
      const since = () => Table.diff(snapshot, plain, { equivalence: (a, b) => a.price === b.price })
      expectTypeOf<Made<ReturnType<typeof since>>>().toEqualTypeOf<Differences<TableError.DerivationFailed>>()
      const skipping = () => Table.diff(snapshot, snapshot, { onError: "skip" })
      expectTypeOf<Made<ReturnType<typeof skipping>>>().toEqualTypeOf<Differences<never>>()
      const numbers = null as unknown as Table.Table<string, number>
      // @ts-expect-error values of another type
      return Table.diff(plain, numbers)
    })
  })
})

describe("sorted", () => {
  type Id = string & { readonly Id: unique symbol }

  it("finds keys and values by itself, in pipes and without, and fails only where an order is given", () => {
    never(() => {
      const piped = fruits.pipe(Table.sorted())
      const called = Table.sorted(fruits)
      type Natural = Table.Sorted<string, Fruit, TableError.ReaderError, string>
      expectTypeOf<Made<typeof piped>>().toEqualTypeOf<Natural>()
      expectTypeOf<Made<typeof called>>().toEqualTypeOf<Natural>()
      const ordered = plain.pipe(Table.sorted(Order.flip(Order.String)))
      expectTypeOf<Made<typeof ordered>>().toEqualTypeOf<Table.Sorted<string, Fruit, TableError.DerivationFailed>>()
      const branded = (null as unknown as Table.Table<Id, Fruit>).pipe(Table.sorted(Order.String))
      expectTypeOf<Table.Key<Made<typeof branded>>>().toEqualTypeOf<Id>()
      const table: Table.Table<string, Fruit, TableError.ReaderError> = null as unknown as Natural
      return table
    })
  })

  it("gives entries, from the table and from its view", () => {
    never(() => {
      const sorted = null as unknown as Table.Sorted<string, Fruit, Error, string>
      type Entries = ReadonlyArray<readonly [string, Fruit]>
      expectTypeOf(sorted.range({ prefix: "a", limit: 1 })).toEqualTypeOf<Effect.Effect<Entries>>()
      expectTypeOf(sorted.view.range({ from: "a", to: undefined, reverse: true })).toEqualTypeOf<Entries>()
      expectTypeOf(sorted.watchRange()).toEqualTypeOf<Stream.Stream<Entries, Error>>()
    })
  })

  it("refuses prefixes of what is no string or in a given order, bounds of another type, and keys without an order", () => {
    never(() => {
      const numbers = null as unknown as Made<ReturnType<typeof Table.sorted<number, Fruit, never>>>
      const strings = null as unknown as Table.Sorted<string, Fruit, never, string>
      const ordered = null as unknown as Table.Sorted<string, Fruit>
      const ids = null as unknown as Table.Sorted<Id, Fruit, never, string>
      const structs = null as unknown as Table.Table<{ readonly at: number }, Fruit>
      expectTypeOf(numbers.range).toBeCallableWith({ from: 1 })
      expectTypeOf(ids.range).toBeCallableWith({ prefix: "a" })
      return [
        // @ts-expect-error numbers have no prefixes
        numbers.range({ prefix: "1" }),
        // @ts-expect-error nor has the view of them
        numbers.view.range({ prefix: 1 }),
        // @ts-expect-error keys with one prefix may lie anywhere in a given order
        ordered.watchRange({ prefix: "a" }),
        // @ts-expect-error a bound is a key
        strings.range({ from: 1 }),
        // @ts-expect-error any string is no key here
        ids.range({ to: "a" }),
        // @ts-expect-error structs need an order
        Table.sorted(structs),
        // @ts-expect-error in pipes, too
        structs.pipe(Table.sorted()),
        // @ts-expect-error an order of other keys
        structs.pipe(Table.sorted(Order.String))
      ]
    })
  })
})

describe("ref", () => {
  it("is of the table's snapshots, in pipes and without", () => {
    never(() => {
      type Expected = Effect.Effect<SubscriptionRef.SubscriptionRef<HashMap.HashMap<string, Fruit>>, never, Scope.Scope>
      expectTypeOf(fruits.pipe(Table.ref)).toEqualTypeOf<Expected>()
      expectTypeOf(Table.ref(plain)).toEqualTypeOf<Expected>()
    })
  })
})

describe("lookup", () => {
  type Order = { readonly fruit: string; readonly priced: WriteAck.WriteAck }
  type Orders = Stream.Stream<Order, Error, Scope.Scope>
  type Enriched<E> = Stream.Stream<readonly [Order, Option.Option<Fruit>], E, Scope.Scope>
  const orders = Stream.empty as unknown as Orders

  it("finds elements, keys and values by itself, in pipes and without", () => {
    never(() => {
      expectTypeOf(orders.pipe(Table.lookup(fruits, ({ fruit }) => fruit))).toEqualTypeOf<Enriched<Error>>()
      expectTypeOf(Table.lookup(orders, plain, ({ fruit }) => fruit)).toEqualTypeOf<Enriched<Error>>()
      // @ts-expect-error a number is no key of fruits
      return orders.pipe(Table.lookup(fruits, () => 1))
    })
  })

  it("names what can end the wait, and nothing else", () => {
    never(() => {
      type ForTable = Enriched<Error | TableError.ReaderError | TableError.TableClosed>
      const piped = orders.pipe(Table.lookup(fruits, ({ fruit }) => fruit, { waitFor: "caughtUp" }))
      expectTypeOf(piped).toEqualTypeOf<ForTable>()
      const called = Table.lookup(orders, fruits, ({ fruit }) => fruit, { waitFor: "caughtUp" })
      expectTypeOf(called).toEqualTypeOf<ForTable>()

      type ForAck = Enriched<Error | TableError.AwaitOffsetError>
      const acked = orders.pipe(
        Table.lookup(fruits, ({ fruit }) => fruit, { waitFor: ({ priced }) => fruits.awaitOffset(priced) })
      )
      expectTypeOf(acked).toEqualTypeOf<ForAck>()
      const ackedFirst = Table.lookup(orders, fruits, ({ fruit }) => fruit, {
        waitFor: ({ priced }) => fruits.awaitOffset(priced)
      })
      expectTypeOf(ackedFirst).toEqualTypeOf<ForAck>()
      const free = orders.pipe(Table.lookup(plain, ({ fruit }) => fruit, { waitFor: () => Effect.void }))
      expectTypeOf(free).toEqualTypeOf<Enriched<Error>>()
    })
  })
})

describe("expire", () => {
  it("stands on tables whose values say when they were written, and changes no type", () => {
    never(() => {
      const entries = KafkaTable.withMetadata(fruits)
      const young = entries.pipe(Effect.flatMap(Table.expire({ ttl: "1 minute" })))
      expectTypeOf<Made<typeof young>>().toEqualTypeOf<Made<typeof entries>>()
      const stamped = Table.map(fruits, ({ name }) => ({ name, timestamp: 0 }))
      return [young, Effect.flatMap(stamped, (table) => Table.expire(table, { ttl: 1 }))]
    })
  })

  it("does not stand on tables that hide that a value was written again", () => {
    never(() => {
      // @ts-expect-error: a table of a topic shows no timestamps by itself.
      const topic = Table.expire(fruits, { ttl: 1 })
      const values = KafkaTable.withMetadata(fruits).pipe(Effect.flatMap(Table.map(({ value }) => value)))
      // @ts-expect-error: nor does what was mapped out.
      const mapped = values.pipe(Effect.flatMap(Table.expire({ ttl: 1 })))
      expectTypeOf<Made<typeof values>>().toExtend<Table.Any>()
      return [topic, mapped]
    })
  })
})
