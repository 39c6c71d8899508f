/** The keys of grouped tables, beside Python's code for them in plain JavaScript. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Schema } from "effect"
import { Codec, TableTopic } from "effect-ktables"
import { type Chance, chance, propertyTimeout, seedsOf } from "./support/chance.ts"

type Key = Codec.GroupKey<string, string>

const keys = Codec.grouped(Codec.string, Codec.string)

const encoded = <G, M>(codec: Codec.Codec<Codec.GroupKey<G, M>>, group: G, member: M): string =>
  Buffer.from(Effect.runSync(codec.encode({ group, member }))).toString()

const bytesOf = (key: string | Uint8Array): Uint8Array => (typeof key === "string" ? Buffer.from(key) : key)

/** Both ways to decode, of bytes that lie within others; they must agree. */
const decoded = <K>(codec: Codec.Codec<K>, key: string | Uint8Array): K | undefined => {
  const bytes = bytesOf(key)
  const buffer = Buffer.concat([Buffer.from("1:"), bytes, Buffer.from("0:x")])
  const [start, end] = [2, 2 + bytes.length]
  const exit = Effect.runSync(Effect.exit(codec.decodeSlice(buffer, start, end)))
  const plain = codec.decodePlain?.(buffer, start, end)
  if (Exit.isFailure(exit)) {
    assert.isUndefined(plain)
    assert.isTrue(Exit.hasFails(exit), "it died")
    return undefined
  }
  if (codec.decodePlain !== undefined) assert.deepStrictEqual(plain, exit.value)
  assert.deepStrictEqual(Effect.runSync(codec.decode(bytes)), exit.value)
  return exit.value
}

const refusal = (key: string | Uint8Array): string => Effect.runSync(Effect.flip(keys.decode(bytesOf(key)))).message

/** `LengthPrefixedKeyCodec.decode` of ktables 2.0.0, whose strings are arrays of code points. */
const inPython = (bytes: Uint8Array): Key | undefined => {
  let text: ReadonlyArray<string>
  try {
    text = [...new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)]
  } catch {
    return undefined
  }
  const at = text.indexOf(":")
  if (at < 0) return undefined
  const head = text.slice(0, at).join("")
  const rest = text.slice(at + 1)
  if (!/^[0-9]+$/.test(head) || head.length > rest.length + 1) return undefined
  const n = BigInt(head)
  if (String(n) !== head || n > BigInt(rest.length)) return undefined
  return { group: rest.slice(0, Number(n)).join(""), member: rest.slice(Number(n)).join("") }
}

const alphabet = [
  "",
  "a",
  "b",
  ":",
  "0",
  "1",
  "9",
  "10:",
  "é",
  "ключ",
  "😀",
  "👩‍👩‍👧",
  "\u0000",
  "\ufeff",
  "\ufffd",
  "١",
  "e\u0301"
]

const textOf = ({ below, pick }: Chance): string => Array.from({ length: below(5) }, () => pick(alphabet)).join("")

/** Some that are keys, some that nearly are, and some that are nothing. */
const anyBytes = (random: Chance): Uint8Array => {
  const { below, happens, pick } = random
  const key = happens(0.5)
    ? `${pick(["", "0", "1", "2", "3", "00", "01", "10", "+1", "-1", "1_0", " 1", "١", "99999999999"])}${pick([":", "", "::"])}${textOf(random)}`
    : encoded(keys, textOf(random), textOf(random))
  const bytes = Buffer.from(key)
  if (bytes.length > 0 && happens(0.3)) bytes[below(bytes.length)] = below(256)
  return happens(0.2) ? bytes.subarray(below(bytes.length), below(bytes.length + 1)) : bytes
}

describe("the keys of grouped tables", () => {
  it("are the length of the group in code points, the group, and the member", () => {
    for (const [group, member, key] of [
      ["billing", "host-a", "7:billinghost-a"],
      ["", "", "0:"],
      ["", "m", "0:m"],
      ["g", "", "1:g"],
      ["😀é", "1:m", "2:😀é1:m"],
      ["12", "34", "2:1234"],
      ["a:b", ":c:", "3:a:b:c:"],
      ["e\u0301", "\ufeff", "2:e\u0301\ufeff"],
      ["👩‍👩‍👧", "x", "5:👩‍👩‍👧x"],
      ["x".repeat(1234), "y", `1234:${"x".repeat(1234)}y`]
    ] as const) {
      assert.strictEqual(encoded(keys, group, member), key)
      assert.deepStrictEqual(decoded(keys, key), { group, member })
    }
  })

  it("are nothing else: neither other digits, nor leading zeros, nor lengths beyond the end", () => {
    for (const [key, why] of [
      ["", "length and a colon"],
      [":", "length and a colon"],
      [":ab", "length and a colon"],
      ["no prefix", "length and a colon"],
      ["12", "length and a colon"],
      ["+1:ab", "length and a colon"],
      ["-0:ab", "length and a colon"],
      [" 1:ab", "length and a colon"],
      ["1 :ab", "length and a colon"],
      ["1_0:abcdefghijkl", "length and a colon"],
      ["١:ab", "length and a colon"],
      ["1：ab", "length and a colon"],
      ["0x1:ab", "length and a colon"],
      ["01:ab", "begins with a zero"],
      ["00:", "begins with a zero"],
      ["0000000000:", "begins with a zero"],
      ["9:ab", "beyond its end"],
      ["1:", "beyond its end"],
      // Two code points of four units of UTF-16, and eight bytes.
      ["3:😀😀", "beyond its end"],
      ["9999999999:ab", "beyond its end"],
      ["10000000000:ab", "length and a colon"]
    ] as const) {
      assert.isUndefined(decoded(keys, key), key)
      assert.include(refusal(key), why, key)
      assert.isUndefined(inPython(Buffer.from(key)), key)
    }
  })

  it("are UTF-8 in both parts, wherever the length cuts", () => {
    const emoji = Buffer.from("😀")
    for (const bytes of [
      Buffer.concat([Buffer.from("1:"), emoji.subarray(0, 2)]),
      Buffer.concat([Buffer.from("1:"), emoji.subarray(2), Buffer.from("a")]),
      Buffer.concat([Buffer.from("0:"), emoji.subarray(1)]),
      Buffer.from([0x31, 0x3a, 0xff]),
      // A surrogate in what is called CESU-8.
      Buffer.from([0x31, 0x3a, 0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80])
    ]) {
      assert.isUndefined(decoded(keys, bytes), bytes.toString("hex"))
      // Also where the codecs of the parts would take any bytes.
      assert.isUndefined(decoded(Codec.grouped(Codec.bytes, Codec.bytes), bytes), bytes.toString("hex"))
      assert.isUndefined(inPython(bytes))
    }
  })

  it("are refused for lone surrogates, also where two of them would be an emoji between the parts", () => {
    const error = (group: string, member: string) => Effect.runSync(Effect.flip(keys.encode({ group, member })))
    for (const [group, member] of [
      ["\ud83d", "a"],
      ["a", "\ude00"],
      ["\ud83d", "\ude00"]
    ] as const) {
      assert.include(error(group, member).message, "lone surrogate")
    }
  })

  for (const seed of seedsOf(20, 2000)) {
    it(
      `come back as they were, and each pair has one of its own (seed ${seed})`,
      () => {
        const random = chance(seed)
        const pairs = new Map<string, string>()
        for (let n = 0; n < 200; n++) {
          const [group, member] = [textOf(random), textOf(random)]
          const key = encoded(keys, group, member)
          assert.deepStrictEqual(decoded(keys, key), { group, member })
          assert.deepStrictEqual(inPython(Buffer.from(key)), { group, member })
          const pair = JSON.stringify([group, member])
          assert.strictEqual(pairs.get(key) ?? pair, pair)
          pairs.set(key, pair)
        }
      },
      propertyTimeout
    )

    it(
      `are what Python takes for one, of any bytes, and of no other form (seed ${seed})`,
      () => {
        const random = chance(seed)
        let taken = 0
        for (let n = 0; n < 500; n++) {
          const bytes = anyBytes(random)
          const key = decoded(keys, bytes)
          assert.deepStrictEqual(key, inPython(bytes), bytes.toString())
          if (key === undefined) continue
          taken++
          assert.strictEqual(encoded(keys, key.group, key.member), Buffer.from(bytes).toString())
        }
        assert.isAbove(taken, 100)
      },
      propertyTimeout
    )
  }

  it("are parsed in time that no length makes longer", () => {
    const rest = Buffer.alloc(64, "x")
    for (const digits of ["9".repeat(10), "9".repeat(1_000_000), "0".repeat(1_000_000), "1".repeat(1_000_000)]) {
      const bytes = Buffer.concat([Buffer.from(digits), Buffer.from(":"), rest])
      let looks = 0
      const counted = new Proxy(bytes, {
        get: (target, name) => {
          looks++
          return Reflect.get(target, name, target) as unknown
        }
      })
      assert.isUndefined(keys.decodePlain!(counted, 0, bytes.length))
      assert.isBelow(looks, 300)
    }
  })

  it("have parts of any schema or codec that gives text", () => {
    const topic = TableTopic.grouped({
      name: "rooms",
      group: Schema.FiniteFromString,
      member: Codec.json(Schema.Struct({ id: Schema.Int })),
      value: Schema.Int
    })
    assert.strictEqual(encoded(topic.key, 12, { id: 3 }), `2:12{"id":3}`)
    assert.deepStrictEqual(decoded(topic.key, `2:12{"id":3}`), { group: 12, member: { id: 3 } })
    assert.isUndefined(decoded(topic.key, `2:ab{"id":3}`))
    assert.isUndefined(decoded(topic.key, `2:12{"id":"3"}`))
    const raw = Codec.grouped(Codec.bytes, Codec.bytes)
    assert.include(
      Effect.runSync(Effect.flip(raw.encode({ group: Uint8Array.of(0xff), member: Uint8Array.of(0x61) }))).message,
      "not UTF-8"
    )
    assert.strictEqual(encoded(raw, bytesOf("é"), bytesOf("m")), "1:ém")
    // Different texts may be one number.
    assert.isFalse(topic.key.isInjective)
    assert.isTrue(keys.isInjective)
  })

  it.effect("are decoded by effects, from bytes of their own", () =>
    Effect.gen(function* () {
      const later = Codec.make<string>({
        decode: (bytes) =>
          Effect.andThen(
            Effect.yieldNow,
            Effect.sync(() => Buffer.from(bytes).toString())
          ),
        encode: (text) => Effect.as(Effect.yieldNow, Buffer.from(text))
      })
      const codec = Codec.grouped(
        Codec.make<string>({
          decode: (bytes) => {
            const text = Buffer.from(bytes).toString()
            return Effect.as(Effect.yieldNow, text)
          },
          encode: (text) => Effect.as(Effect.yieldNow, Buffer.from(text))
        }),
        later
      )
      const buffer = Buffer.from("2:😀éhost")
      const decoding = codec.decodeSlice(buffer, 0, buffer.length)
      buffer.fill(0)
      assert.deepStrictEqual(yield* decoding, { group: "😀é", member: "host" })
      assert.strictEqual(Buffer.from(yield* codec.encode({ group: "😀é", member: "host" })).toString(), "2:😀éhost")
    })
  )

  it("may lie within each other", () => {
    const nested = Codec.grouped(keys, keys)
    const key = encoded(nested, { group: "a", member: "b" }, { group: "", member: "c" })
    assert.strictEqual(key, "4:1:ab0:c")
    assert.deepStrictEqual(decoded(nested, key), {
      group: { group: "a", member: "b" },
      member: { group: "", member: "c" }
    })
  })
})
