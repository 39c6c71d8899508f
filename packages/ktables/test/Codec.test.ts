import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Option, Result, Schema, SchemaGetter } from "effect"
import { Codec, TableTopic } from "effect-ktables"

const roundTrip = <A, RD, RE>(codec: Codec.Codec<A, RD, RE>, value: A) =>
  Effect.flatMap(codec.encode(value), (bytes) => codec.decode(Buffer.from(bytes)))

const detailOf = <A>(effect: Effect.Effect<A, Codec.CodecError>) => Effect.map(Effect.flip(effect), (e) => e.detail)

class ServiceRecord extends Schema.Class<ServiceRecord>("ServiceRecord")({ host: Schema.String, port: Schema.Int }) {}

describe("Codec", () => {
  it.effect("string is exact UTF-8: no replacement, no stripped byte order mark, no lone surrogate", () =>
    Effect.gen(function* () {
      for (const text of ["", "a", "ключ", "😀", "\ufeffmark", "\ufffd"]) {
        assert.strictEqual(yield* roundTrip(Codec.string, text), text)
      }
      assert.strictEqual((yield* Codec.string.encode("\ufffd")).length, 3)
      assert.include(yield* detailOf(Codec.string.decode(Buffer.from([0xff, 0x61]))), "UTF-8")
      assert.include(yield* detailOf(Codec.string.decode(Buffer.from([0xed, 0xa0, 0x80]))), "UTF-8")
      assert.include(yield* detailOf(Codec.string.encode("\ud800")), "surrogate")
    })
  )

  it.effect.prop(
    "the JSON of a codec is the text of what it encodes, and printed the same after it was parsed",
    [Schema.Json],
    ([value]) =>
      Effect.gen(function* () {
        const codec = Codec.json(Schema.Json)
        const text = yield* codec.json!(value)
        assert.strictEqual(Buffer.from(yield* codec.encode(value)).toString(), text)
        assert.strictEqual(JSON.stringify(JSON.parse(text)), text)
      })
  )

  it("only of JSON codecs says that it is JSON, however the codec was made from one", () => {
    assert.isDefined(TableTopic.make({ name: "t", key: Schema.String, value: Schema.Date }).value.json)
    const json = Codec.json(Schema.Finite)
    const mapped = Codec.map(json, String, Number)
    for (const codec of [Codec.string, Codec.bytes, Codec.text(Schema.FiniteFromString), mapped]) {
      assert.isUndefined(codec.json)
    }
  })

  it.effect("strings of all lengths encode to bytes of their own, and are decoded from any array of bytes", () =>
    Effect.gen(function* () {
      const texts = Array.from({ length: 2000 }, (_, length) =>
        "aä€😀"[length % 4]!.replace(/[\ud800-\udfff]/, "x").repeat(length)
      )
      const encoded: Array<Uint8Array> = []
      for (const text of texts) encoded.push(yield* Codec.string.encode(text))
      for (const [i, text] of texts.entries()) {
        assert.isTrue(Buffer.from(text).equals(encoded[i]!))
        assert.strictEqual(yield* Codec.string.decode(encoded[i]!), text)
        assert.isTrue(Buffer.from(text).equals(yield* Codec.bytes.decode(encoded[i]!)))
      }
    })
  )

  it.effect("bytes are copies, both ways", () =>
    Effect.gen(function* () {
      for (const length of [0, 1, 200, 5000]) {
        const source = Buffer.alloc(length, 7)
        const decoded = yield* Codec.bytes.decode(source)
        source.fill(8)
        assert.strictEqual(decoded.length, length)
        assert.isTrue(decoded.every((byte) => byte === 7))
        assert.strictEqual(Object.getPrototypeOf(decoded), Uint8Array.prototype)
      }
      const mine = new Uint8Array([1, 2])
      const encoded = yield* Codec.bytes.encode(mine)
      mine[0] = 9
      assert.deepStrictEqual([...encoded], [1, 2])
    })
  )

  it.effect("many small byte values do not overwrite each other", () =>
    Effect.gen(function* () {
      const values = Array.from({ length: 500 }, (_, i) => Buffer.alloc(1 + (i % 300), i))
      const decoded = yield* Effect.forEach(values, (value) => Codec.bytes.decode(value))
      for (const [i, value] of values.entries()) assert.isTrue(value.equals(decoded[i]!))
    })
  )

  it.effect("json goes through the schema, and takes dates, maps and classes", () =>
    Effect.gen(function* () {
      const codec = Codec.json(
        Schema.Struct({ at: Schema.Date, of: Schema.ReadonlyMap(Schema.String, Schema.BigInt), by: ServiceRecord })
      )
      const value = {
        at: new Date("2026-01-02T03:04:05Z"),
        of: new Map([["a", 2n ** 70n]]),
        by: new ServiceRecord({ host: "h", port: 1 })
      }
      assert.deepStrictEqual(yield* roundTrip(codec, value), value)
      assert.include(yield* detailOf(Codec.json(ServiceRecord).decode(Buffer.from("{"))), "not JSON")
      assert.include(yield* detailOf(Codec.json(ServiceRecord).decode(Buffer.from('{"host":"h"}'))), "port")
      assert.include(yield* detailOf(Codec.json(ServiceRecord).decode(Buffer.alloc(0))), "not JSON")
    })
  )

  it.effect("a decoded null or undefined is a value", () =>
    Effect.gen(function* () {
      assert.isNull(yield* roundTrip(Codec.json(Schema.Null), null))
      const codec = Codec.map(
        Codec.string,
        (text): string | undefined => (text === "-" ? undefined : text),
        (value) => value ?? "-"
      )
      assert.isUndefined(yield* roundTrip(codec, undefined))
    })
  )

  it.effect("text decodes what a schema encodes to a string", () =>
    Effect.gen(function* () {
      const codec = Codec.text(Schema.NumberFromString)
      assert.strictEqual(yield* roundTrip(codec, 12), 12)
      assert.isTrue(
        Exit.isFailure(yield* Effect.exit(Codec.text(Schema.Literals(["a", "b"])).decode(Buffer.from("c"))))
      )
    })
  )

  it.effect("option takes empty bytes for none, and refuses what would read back as none", () =>
    Effect.gen(function* () {
      const codec = Codec.option(Codec.string)
      assert.deepStrictEqual(yield* roundTrip(codec, Option.none()), Option.none())
      assert.deepStrictEqual(yield* roundTrip(codec, Option.some("x")), Option.some("x"))
      assert.include(yield* detailOf(codec.encode(Option.some(""))), "None")
    })
  )

  it.effect("attempt keeps bad bytes as data, but not a codec that is unavailable", () =>
    Effect.gen(function* () {
      const codec = Codec.attempt(Codec.json(Schema.Int))
      assert.deepStrictEqual(yield* codec.decode(Buffer.from("1")), Result.succeed(1))
      const bad = yield* codec.decode(Buffer.from("x"))
      assert.isTrue(Result.isFailure(bad))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(codec.encode(bad))))
      const down = Codec.make<number>({
        decode: () => Exit.fail(new Codec.CodecError({ detail: "registry down", isTransient: true })),
        encode: () => Exit.succeed(new Uint8Array(1))
      })
      assert.strictEqual(yield* detailOf(Codec.attempt(down).decode(Buffer.alloc(1))), "registry down")
    })
  )

  it.effect("carries the services that its schema needs, apart for decoding and encoding", () =>
    Effect.gen(function* () {
      class Salt extends Context.Service<Salt, { readonly salt: string }>()("test/Salt") {}
      const Salted = Schema.String.pipe(
        Schema.decodeTo(Schema.String, {
          decode: SchemaGetter.transformEffect((text: string) => Effect.map(Salt, ({ salt }) => `${text}${salt}`)),
          encode: SchemaGetter.transform((text: string) => text.slice(0, -1))
        })
      )
      const topic = TableTopic.make({ name: "salted", key: Schema.String, value: Salted })
      const typed: TableTopic.TableTopic<string, string, Salt, never> = topic
      const decoded = yield* typed.value
        .decode(Buffer.from('"x"'))
        .pipe(Effect.provide(Layer.succeed(Salt, { salt: "!" })))
      assert.strictEqual(decoded, "x!")
      assert.strictEqual(Buffer.from(yield* typed.value.encode("x!")).toString(), '"x"')
    })
  )
})

describe("TableTopic", () => {
  it("infers keys and values from schemas and codecs", () => {
    const bySchema: TableTopic.TableTopic<string, ServiceRecord> = TableTopic.make({
      name: "a",
      key: Schema.String,
      value: ServiceRecord
    })
    const byCodec: TableTopic.TableTopic<number, Uint8Array> = TableTopic.make({
      name: "b",
      key: Schema.NumberFromString,
      value: Codec.bytes
    })
    // @ts-expect-error a key schema encodes to a string
    TableTopic.make({ name: "c", key: Schema.Int, value: Schema.String })
    assert.deepStrictEqual(
      [bySchema.partitions, bySchema.replicationFactor, bySchema.config],
      [1, -1, { "cleanup.policy": "compact" }]
    )
    assert.strictEqual(byCodec.key.isInjective, false)
    assert.strictEqual(bySchema.key.isInjective, true)
  })
})
