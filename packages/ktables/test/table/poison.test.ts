/** Records that break a codec rather than being refused by it, and values and keys that misbehave once decoded. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Equal, Exit, Hash, Logger, Schema, Stream } from "effect"
import { Codec, KafkaTable, type TableChange, TableTopic } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { failureOf } from "../support/subject.ts"
import { until } from "../support/time.ts"
import { eventually, onMemory } from "./fixtures.ts"

const kafka = MemoryKafka.MemoryKafka

const parsed = Codec.string.pipe(
  Codec.map(
    (text): unknown => JSON.parse(text),
    (value) => JSON.stringify(value)
  )
)

interface Tree {
  readonly children: ReadonlyArray<Tree>
}
const Tree = Schema.Struct({ children: Schema.Array(Schema.suspend((): Schema.Codec<Tree> => Tree)) })

const deep = `${'{"children":['.repeat(20_000)}${"]}".repeat(20_000)}`

const noLuck = () => {
  throw new Error("no such luck")
}

/** Codecs, each with bytes that break it. */
const poisons: ReadonlyArray<readonly [name: string, codec: Codec.Codec<unknown>, good: string, bad: string]> = [
  ["a mapping that throws", parsed, "1", "{"],
  ["a recursive schema that deep JSON overflows", Codec.json(Tree) as Codec.Codec<unknown>, '{"children":[]}', deep],
  [
    "a codec that dies",
    Codec.make<unknown>({
      decode: (bytes) => (bytes.toString() === "bad" ? Effect.die(new Error("dead")) : Effect.succeed(1)),
      encode: () => Exit.succeed(Buffer.alloc(0))
    }),
    "good",
    "bad"
  ],
  [
    "a codec that dies later",
    Codec.make<unknown>({
      decode: (bytes) =>
        bytes.toString() === "bad"
          ? Effect.andThen(
              Effect.promise(() => Promise.resolve()),
              Effect.die("dead")
            )
          : Exit.succeed(1),
      encode: () => Exit.succeed(Buffer.alloc(0))
    }),
    "good",
    "bad"
  ],
  [
    "a codec that throws what cannot be printed",
    Codec.make<unknown>({
      decode: (bytes) => {
        if (bytes.toString() === "bad") throw Object.create(null)
        return Exit.succeed(1)
      },
      encode: () => Exit.succeed(Buffer.alloc(0))
    }),
    "good",
    "bad"
  ],
  [
    "a codec that answers with nothing",
    Codec.make<unknown>({
      decode: (bytes) => (bytes.toString() === "bad" ? undefined! : Exit.succeed(1)),
      encode: () => Exit.succeed(Buffer.alloc(0))
    }),
    "good",
    "bad"
  ],
  ...(
    [
      ["a codec that is interrupted", () => Effect.interrupt],
      ["a codec that answers with an interruption", () => Exit.interrupt()],
      [
        "a codec that is interrupted later",
        () =>
          Effect.andThen(
            Effect.promise(() => Promise.resolve()),
            Effect.interrupt
          )
      ],
      [
        "a codec whose fiber is interrupted by another",
        () =>
          Effect.withFiber<never>((fiber) => {
            queueMicrotask(() => fiber.interruptUnsafe())
            return Effect.never
          })
      ],
      ["an async codec that rejects", () => Promise.reject(new Error("not an Effect"))],
      ["an async codec that succeeds", () => Promise.resolve(1)],
      ["a codec of a promise that rejects", () => Exit.succeed(Promise.reject(new Error("not a value")))],
      [
        "a codec of a promise that rejects later",
        () =>
          Effect.promise(async (): Promise<{ readonly of: unknown }> => ({
            of: Promise.reject(new Error("not a value"))
          })).pipe(Effect.map(({ of }) => of))
      ]
    ] as ReadonlyArray<readonly [string, () => Effect.Effect<unknown>]>
  ).map(
    ([name, decodeBad]) =>
      [
        name,
        Codec.make<unknown>({
          decode: (bytes) => (bytes.toString() === "bad" ? decodeBad() : Exit.succeed(1)),
          encode: () => Exit.succeed(Buffer.alloc(0))
        }),
        "good",
        "bad"
      ] as const
  ),
  [
    "an async mapping that rejects",
    Codec.string.pipe(
      Codec.map(
        (text): unknown => (text === "bad" ? Promise.reject(new Error("not a value")) : text),
        () => ""
      )
    ),
    "good",
    "bad"
  ]
]

describe("a record that breaks", () => {
  for (const [name, codec, good, bad] of poisons) {
    for (const policy of ["skip", "remove", "fail"] as const) {
      it.effect(`${name} is one DecodeError under ${policy}, loaded and followed`, () =>
        onMemory(
          Effect.gen(function* () {
            const memory = yield* kafka
            yield* memory.createTopic("values")
            const topic = TableTopic.make({ name: "values", key: Schema.String, value: codec })
            yield* memory.append("values", [
              { key: "a", value: good },
              { key: "b", value: good },
              { key: "a", value: bad },
              { key: "c", value: good }
            ])
            if (policy === "fail") {
              const error = yield* failureOf(KafkaTable.make(topic, { onDecodeError: policy }))
              assert.strictEqual(error._tag, "DecodeError")
              return
            }
            const table = yield* KafkaTable.make(topic, { onDecodeError: policy })
            const kept = policy === "skip" ? ["a", "b", "c"] : ["b", "c"]
            assert.deepStrictEqual([...table.view.keys()].sort(), kept)
            yield* memory.append("values", [
              { key: "b", value: bad },
              { key: "d", value: good }
            ])
            yield* table.barrier()
            const later = policy === "skip" ? ["a", "b", "c", "d"] : ["c", "d"]
            assert.deepStrictEqual([...table.view.keys()].sort(), later)
            const { stats, status } = yield* table.health
            assert.strictEqual(status._tag, "CaughtUp")
            assert.strictEqual(stats.valueDecodeErrors, 2)
          })
        )
      )
    }
  }

  for (const [name, unlucky] of [
    ["hash", { [Hash.symbol]: noLuck, [Equal.symbol]: () => false }],
    ["equality", { [Hash.symbol]: () => 1, [Equal.symbol]: noLuck }]
  ] as const) {
    it.effect(`keys whose ${name} throws is passed over, loaded and followed`, () =>
      onMemory(
        Effect.gen(function* () {
          const memory = yield* kafka
          yield* memory.createTopic("values")
          const key = Codec.string.pipe(
            Codec.map((text): unknown => (text.startsWith("bad") ? { ...unlucky } : text), String)
          )
          const topic = TableTopic.make({ name: "values", key, value: Schema.Int })
          const records = ["a", "bad-1", "bad-2", "b"].map((key) => ({ key, value: "1" }))
          yield* memory.append("values", records)
          const table = yield* KafkaTable.make(topic)
          assert.includeMembers([...table.view.keys()], ["a", "b"])
          yield* memory.append("values", [...records, { key: "c", value: "2" }])
          yield* table.barrier()
          assert.includeMembers([...table.view.keys()], ["a", "b", "c"])
          const { stats, status } = yield* table.health
          assert.strictEqual(status._tag, "CaughtUp")
          assert.isAbove(stats.keyDecodeErrors, 0)
        })
      )
    )
  }
})

describe("an onDecodeError function", () => {
  for (const [name, answer] of [
    [
      "throws",
      () => {
        throw new Error("not my day")
      }
    ],
    ["dies", () => Effect.die(new Error("not my day"))],
    ["is interrupted", () => Effect.interrupt],
    ["is async, and rejects", () => Promise.reject(new Error("not my day")) as unknown as Effect.Effect<"skip">],
    ["answers with something else", () => Effect.succeed("ignore" as "skip")]
  ] as const) {
    it.effect(`that ${name} fails the table with the DecodeError, which says so`, () =>
      onMemory(
        Effect.gen(function* () {
          const memory = yield* kafka
          yield* memory.createTopic("values")
          yield* memory.append("values", [{ key: "a", value: "x" }])
          const topic = TableTopic.make({ name: "values", key: Schema.String, value: Schema.Int })
          const error = yield* failureOf(KafkaTable.make(topic, { onDecodeError: answer }))
          assert.strictEqual(error._tag, "DecodeError")
          assert.include(error.message, "onDecodeError")
        })
      )
    )
  }
})

/** Compares equal to all of its kind: its state is private. */
class Sealed {
  readonly #text: string
  constructor(text: string) {
    this.#text = text
  }
  get text(): string {
    return this.#text
  }
}
const sealed = Codec.string.pipe(
  Codec.map(
    (text) => new Sealed(text),
    (value) => value.text
  )
)
const comparedBy = (equals: () => boolean) =>
  Codec.string.pipe(
    Codec.map(
      (text): { readonly text: string } => Object.assign({ text }, { [Equal.symbol]: equals, [Hash.symbol]: () => 1 }),
      ({ text }) => text
    )
  )
const unreadable = Codec.string.pipe(
  Codec.map(
    (text) => ({
      text,
      get other(): string {
        throw new Error("not for you")
      }
    }),
    ({ text }): string => text
  )
)

describe("values that compare equal though they differ", () => {
  for (const [name, value] of [
    ["with private state", sealed],
    ["that are equal to everything", comparedBy(() => true)],
    ["whose comparison throws", comparedBy(noLuck)],
    ["with a getter that throws", unreadable]
  ] as ReadonlyArray<readonly [string, Codec.Codec<{ readonly text: string }>]>) {
    it.effect(`${name} are changes of a rebuild where their bytes differ`, () =>
      onMemory(
        Effect.gen(function* () {
          const memory = yield* kafka
          yield* memory.createTopic("values")
          yield* memory.append("values", [
            { key: "a", value: "old" },
            { key: "b", value: "same" }
          ])
          const topic = TableTopic.make({ name: "values", key: Schema.String, value })
          const table = yield* KafkaTable.make(topic)
          const heard: Array<TableChange.TableChange<string, { readonly text: string }>> = []
          yield* Effect.forkScoped(Stream.runForEach(table.changes, (change) => Effect.sync(() => heard.push(change))))
          yield* eventually("the snapshot", () => heard.length === 1)
          yield* memory.recreateTopic("values")
          yield* memory.append("values", [
            { key: "a", value: "new" },
            { key: "b", value: "same" }
          ])
          const isNew = (change: (typeof heard)[number]) => change._tag === "Set" && change.key === "a"
          yield* until(
            "the change",
            60_000,
            Effect.sync(() => heard.some(isNew))
          )
          const changed = heard.find(isNew)
          assert.strictEqual(changed?._tag === "Set" ? changed.value.text : undefined, "new")
          if (name.endsWith("private state")) {
            assert.isUndefined(heard.find((change) => change._tag === "Set" && change.key === "b"))
          }
        })
      )
    )
  }
})

/** Its state is seen by nobody, so that all are equal. */
class Hidden {
  readonly #text: string
  constructor(text: string) {
    this.#text = text
  }
  read(): string {
    return this.#text
  }
}
const hidden = Codec.string.pipe(
  Codec.map(
    (text) => new Hidden(text),
    (key) => key.read()
  )
)

describe("keys that compare equal though they differ", () => {
  for (const [name, key, records, warned] of [
    ["with private state are warned of", hidden, ["a", "b", "c"], ['"a" and "b"']],
    ["that are equal to everything are warned of", comparedBy(() => true), ["a", "b"], ['"a" and "b"']],
    ["are shown by their beginnings", hidden, ["a".repeat(500), "b"], ["(500 bytes)"]],
    ["but are spellings of one number are not", Codec.text(Schema.FiniteFromString), ["1", "01", "1.0"], undefined],
    [
      "but are spellings of one struct are not",
      Codec.json(Schema.Struct({ a: Schema.Int })),
      ['{"a":1}', '{ "a":1}'],
      undefined
    ]
  ] as ReadonlyArray<
    readonly [string, Codec.Codec<unknown>, ReadonlyArray<string>, ReadonlyArray<string> | undefined]
  >) {
    it.effect(`${name}, once`, () => {
      const lines: Array<string> = []
      const logger = Logger.make<unknown, void>(({ message }) => void lines.push(String(message)))
      return onMemory(
        Effect.gen(function* () {
          const memory = yield* kafka
          yield* memory.createTopic("values")
          const append = () =>
            memory.append(
              "values",
              records.map((key) => ({ key, value: "1" }))
            )
          yield* append()
          const table = yield* KafkaTable.make(TableTopic.make({ name: "values", key, value: Schema.Int }))
          assert.strictEqual(table.view.size, 1)
          yield* memory.recreateTopic("values")
          yield* append()
          const rebuilt = Effect.map(table.health, ({ stats }) => stats.rebuilds === 1)
          yield* until("the rebuild", 60_000, rebuilt)
          const warnings = lines.filter((line) => line.includes("compares equal"))
          assert.strictEqual(warnings.length, warned === undefined ? 0 : 1)
          for (const part of warned ?? []) assert.include(warnings[0], part)
        })
      ).pipe(Effect.provide(Logger.layer([logger])))
    })
  }
})
