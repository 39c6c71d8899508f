/**
 * Turns keys and values into bytes and back.
 *
 * A tombstone (a null value) never reaches a codec; empty bytes do, and are data. A decoded `null` or `undefined` is a
 * value like any other.
 *
 * **Details**
 *
 * `decode` and `encode` return effects. Codecs that need no effects return an `Exit`, which is an effect that is already
 * done: the table reads such results in place and starts no fiber for them.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Pipeable from "effect/Pipeable"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { dual } from "effect/Function"
import { TaggedError, withoutStack } from "./internal/taggedError.ts"
import { isOutOfMemory, printed } from "./internal/defects.ts"
import { decodeUtf8, encodeUtf8 } from "./internal/utf8.ts"

const TypeId = "~effect-ktables/Codec"

/**
 * Bytes that do not decode, or a value that does not encode. `detail` says why.
 *
 * @category errors
 * @since 0.1.0
 */
export class CodecError extends TaggedError<CodecError>()("CodecError", {
  detail: Schema.String,
  /**
   * The bytes are not to blame: what the codec leans on (a schema registry) failed and may work again. A table keeps
   * trying; it does not take the record for a bad one.
   */
  isTransient: Schema.optionalKey(Schema.Boolean),
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return this.detail
  }
}

/**
 * A two-way conversion between `A` and bytes. `RD` and `RE` are the services that decoding and encoding need; a table
 * asks for the first, a writer for the second, and their layers capture them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Codec<in out A, out RD = never, out RE = never> extends Pipeable.Pipeable {
  readonly [TypeId]: typeof TypeId
  /** Decodes `bytes`, which is only valid during the call unless copied. */
  readonly decode: (bytes: Uint8Array) => Effect.Effect<A, CodecError, RD>
  /** Decodes `buffer` from `start` to `end` without a view of its own, where the codec can. */
  readonly decodeSlice: (buffer: Uint8Array, start: number, end: number) => Effect.Effect<A, CodecError, RD>
  readonly encode: (value: A) => Effect.Effect<Uint8Array, CodecError, RE>
  /**
   * The decoded value itself, where the codec needs neither an effect nor an `Exit` to tell; undefined where `decodeSlice`
   * has to be asked.
   */
  readonly decodePlain: ((buffer: Uint8Array, start: number, end: number) => A | undefined) | undefined
  /** Whether different bytes always decode to different values. */
  readonly isInjective: boolean
  /** The text whose bytes `encode` gives, where that is JSON as `JSON.stringify` prints it; undefined for other codecs. */
  readonly json: ((value: A) => Effect.Effect<string, CodecError, RE>) | undefined
}

/**
 * Any codec.
 *
 * @category models
 * @since 0.1.0
 */
// oxlint-disable-next-line typescript/no-explicit-any
export type Any = Codec<any, any, any>

/**
 * What a codec decodes to.
 *
 * @category models
 * @since 0.1.0
 */
export type Type<C> = C extends Codec<infer A, infer _RD, infer _RE> ? A : never

/**
 * Tells whether a value is a codec.
 *
 * @category guards
 * @since 0.1.0
 */
export const isCodec = (u: unknown): u is Any => typeof u === "object" && u !== null && TypeId in u

interface Parts<A, RD, RE> {
  readonly decodeSlice: Codec<A, RD, RE>["decodeSlice"]
  readonly encode: Codec<A, RD, RE>["encode"]
  readonly decode?: Codec<A, RD, RE>["decode"]
  readonly decodePlain?: Codec<A, RD, RE>["decodePlain"] | undefined
  readonly isInjective?: boolean
  readonly json?: Codec<A, RD, RE>["json"]
}

class CodecImpl<A, RD, RE> extends Pipeable.Class implements Codec<A, RD, RE> {
  readonly [TypeId]: typeof TypeId = TypeId
  readonly decode: Codec<A, RD, RE>["decode"]
  readonly decodeSlice: Codec<A, RD, RE>["decodeSlice"]
  readonly encode: Codec<A, RD, RE>["encode"]
  readonly decodePlain: Codec<A, RD, RE>["decodePlain"]
  readonly isInjective: boolean
  readonly json: Codec<A, RD, RE>["json"]
  constructor(parts: Parts<A, RD, RE>) {
    super()
    this.decodeSlice = parts.decodeSlice
    this.decode = parts.decode ?? ((bytes) => parts.decodeSlice(bytes, 0, bytes.length))
    this.encode = parts.encode
    this.decodePlain = parts.decodePlain
    this.isInjective = parts.isInjective ?? false
    this.json = parts.json
  }
}

const refuse = (detail: string, cause?: unknown): Exit.Exit<never, CodecError> =>
  Exit.fail(withoutStack(() => new CodecError(cause === undefined ? { detail } : { detail, cause })))

/** What a function of the user's threw is a refusal of what it was given. */
const refuseThrown = (thrown: unknown): Exit.Exit<never, CodecError> => {
  if (isOutOfMemory(thrown)) return Exit.die(thrown)
  const detail = `it threw: ${printed(thrown)}`
  return refuse(detail, thrown instanceof Error ? thrown : undefined)
}

const fromText = <A, RD, RE>(
  parse: (text: string) => Effect.Effect<A, CodecError, RD>,
  print: (value: A) => Effect.Effect<string, CodecError, RE>
): Codec<A, RD, RE> =>
  new CodecImpl<A, RD, RE>({
    decodeSlice: (buffer, start, end) => {
      const text = decodeUtf8(buffer, start, end)
      return text === undefined ? refuse("the bytes are not UTF-8") : parse(text)
    },
    encode: (value) => onDone(print(value), toBytes)
  })

const toBytes = (text: string): Exit.Exit<Uint8Array, CodecError> => {
  if (typeof text !== "string") return refuse("what is to be encoded is no string")
  const bytes = encodeUtf8(text)
  return bytes === undefined ? refuse("the text has a lone surrogate, which UTF-8 cannot hold") : Exit.succeed(bytes)
}

/** `flatMap` that stays an `Exit` when its input is one. */
const onDone = <A, E, R, B, E2, R2>(
  effect: Effect.Effect<A, E, R>,
  f: (a: A) => Effect.Effect<B, E2, R2>
): Effect.Effect<B, E | E2, R | R2> => {
  if (Exit.isExit(effect)) {
    const exit = effect as Exit.Exit<A, E>
    return Exit.isSuccess(exit) ? f(exit.value) : (exit as Exit.Exit<never, E>)
  }
  return Effect.flatMap(effect, f)
}

const onFailed = <A, R, B>(
  effect: Effect.Effect<A, CodecError, R>,
  succeed: (a: A) => B,
  fail: (error: CodecError) => Exit.Exit<B, CodecError>
): Effect.Effect<B, CodecError, R> => {
  if (Exit.isExit(effect)) {
    const exit = effect as Exit.Exit<A, CodecError>
    if (Exit.isSuccess(exit)) return Exit.succeed(succeed(exit.value))
    const error = Cause.findErrorOption(exit.cause)
    return Option.isSome(error) ? fail(error.value) : (exit as Exit.Exit<never, CodecError>)
  }
  return Effect.matchEffect(effect, { onFailure: fail, onSuccess: (a) => Exit.succeed(succeed(a)) })
}

/**
 * UTF-8 text, refused when the bytes are not UTF-8. A byte order mark is kept.
 *
 * @category constructors
 * @since 0.1.0
 */
export const string: Codec<string> = new CodecImpl<string, never, never>({
  ...fromText<string, never, never>(Exit.succeed, Exit.succeed),
  decodePlain: decodeUtf8,
  isInjective: true
})

/** Small arrays share their memory: on its own, an array of 200 bytes costs 600. */
const SLAB = 4096
let slab = new ArrayBuffer(SLAB)
let slabUsed = 0

const copyOf = (buffer: Uint8Array, start: number, end: number): Uint8Array => {
  const length = end - start
  if (length > SLAB / 4) return new Uint8Array(buffer.subarray(start, end))
  if (slabUsed + length > SLAB) {
    slab = new ArrayBuffer(SLAB)
    slabUsed = 0
  }
  const copy = new Uint8Array(slab, slabUsed, length)
  slabUsed += length
  // A view would cost more than the copy of a small array, which bytes of Node's can make without one.
  const node = buffer as { readonly copy?: (to: Uint8Array, at: number, start: number, end: number) => number }
  if (node.copy === undefined) copy.set(buffer.subarray(start, end))
  else node.copy(copy, 0, start, end)
  return copy
}

/**
 * The bytes as they are. Decoded arrays are copies; small ones share an `ArrayBuffer`, so mind `byteOffset`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const bytes: Codec<Uint8Array> = new CodecImpl<Uint8Array, never, never>({
  decodeSlice: (buffer, start, end) => Exit.succeed(copyOf(buffer, start, end)),
  decodePlain: copyOf,
  // A copy, since the caller may change its array before it is sent.
  encode: (value) =>
    value instanceof Uint8Array
      ? Exit.succeed(new Uint8Array(value))
      : refuse("what is to be encoded is no Uint8Array"),
  isInjective: true
})

/**
 * UTF-8 text that a schema with a string encoding decodes: `Schema.String`, `Schema.NumberFromString`, a branded id.
 *
 * @category constructors
 * @since 0.1.0
 */
export const text = <A, RD = never, RE = never>(
  schema: Schema.ConstraintCodec<A, string, RD, RE>
): Codec<A, RD, RE> => {
  if ((schema as { readonly ast: unknown }).ast === Schema.String.ast) {
    return string as unknown as Codec<A, RD, RE>
  }
  const decode = Schema.decodeUnknownEffect(schema)
  const encode = Schema.encodeUnknownEffect(schema)
  return fromText<A, RD, RE>(
    (text) => mapSchemaError(decode(text)),
    (value) => mapSchemaError(encode(value)) as Effect.Effect<string, CodecError, RE>
  )
}

/**
 * JSON in UTF-8, through a schema. Types that JSON cannot hold (dates, maps, big integers) take the JSON form that the
 * schema defines for them.
 *
 * **Example** (A codec for a struct)
 *
 * ```ts
 * import { Schema } from "effect"
 * import { Codec } from "effect-ktables"
 *
 * const price = Codec.json(Schema.Struct({ amount: Schema.Finite, since: Schema.Date }))
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const json = <S extends Schema.Constraint>(
  schema: S
): Codec<S["Type"], S["DecodingServices"], S["EncodingServices"]> => {
  const inner = Schema.toCodecJson(schema as unknown as Schema.ConstraintCodec<S["Type"], unknown>)
  const decode = Schema.decodeUnknownEffect(inner)
  const encode = Schema.encodeUnknownEffect(inner)
  const parse = (text: string): Effect.Effect<S["Type"], CodecError, S["DecodingServices"]> => {
    let parsed: unknown
    try {
      parsed = JSON.parse(text)
    } catch (cause) {
      return refuse(`not JSON: ${cause instanceof Error ? cause.message : String(cause)}`)
    }
    return mapSchemaError(decode(parsed))
  }
  const print = (value: S["Type"]): Effect.Effect<string, CodecError, S["EncodingServices"]> =>
    onDone(mapSchemaError(encode(value)), (encoded) => {
      const text = JSON.stringify(encoded)
      return text === undefined ? refuse("the value has no JSON form") : Exit.succeed(text)
    })
  return new CodecImpl<S["Type"], S["DecodingServices"], S["EncodingServices"]>({
    ...fromText(parse, print),
    json: print
  })
}

/** Only the error of a schema is mapped; the success path of an `Exit` is handed on as it is. */
const mapSchemaError = <A, R>(effect: Effect.Effect<A, Schema.SchemaError, R>): Effect.Effect<A, CodecError, R> => {
  if (Exit.isExit(effect)) {
    const exit = effect as Exit.Exit<A, Schema.SchemaError>
    if (Exit.isSuccess(exit)) return exit as Exit.Exit<A, never>
    const error = Cause.findErrorOption(exit.cause)
    if (Option.isSome(error)) return refuse(error.value.message)
    return Cause.hasDies(exit.cause) ? refuseThrown(Cause.squash(exit.cause)) : (exit as Exit.Exit<never, never>)
  }
  return Effect.mapError(effect, (error) => withoutStack(() => new CodecError({ detail: error.message })))
}

/**
 * What a function of the user's encoded, as bytes of their own: it may use its buffer again before they are sent. What is no
 * effect, or no array of bytes, is left to the writer, which refuses it.
 */
const copied = (bytes: Uint8Array): Exit.Exit<Uint8Array, CodecError> => {
  if (!(bytes instanceof Uint8Array)) return Exit.succeed(bytes)
  try {
    return Exit.succeed(new Uint8Array(bytes))
  } catch (thrown) {
    // Its memory was handed over to somebody else.
    return refuseThrown(thrown)
  }
}

/**
 * A codec from two functions. Return an `Exit` (`Exit.succeed`, `Exit.fail`) where no effect is needed.
 *
 * **Gotchas**
 *
 * The bytes that `decode` gets lie in a larger buffer, which is filled again: copy what is to be kept. Those that `encode`
 * gives are copied, so that it may use one buffer for all. What fails for reasons outside the bytes
 * should fail with `isTransient: true`, so that the table waits instead of passing over the record.
 *
 * **Example** (Numbers in eight bytes)
 *
 * ```ts
 * import { Exit } from "effect"
 * import { Codec } from "effect-ktables"
 *
 * export const float64 = Codec.make<number>({
 *   decode: (bytes) =>
 *     bytes.length === 8
 *       ? Exit.succeed(new DataView(bytes.buffer, bytes.byteOffset).getFloat64(0))
 *       : Exit.fail(new Codec.CodecError({ detail: `8 bytes are wanted, not ${bytes.length}` })),
 *   encode: (value) => {
 *     const bytes = new DataView(new ArrayBuffer(8))
 *     bytes.setFloat64(0, value)
 *     return Exit.succeed(new Uint8Array(bytes.buffer))
 *   }
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <A, RD = never, RE = never>(options: {
  readonly decode: (bytes: Uint8Array) => Effect.Effect<A, CodecError, RD>
  readonly encode: (value: A) => Effect.Effect<Uint8Array, CodecError, RE>
}): Codec<A, RD, RE> =>
  new CodecImpl<A, RD, RE>({
    decodeSlice: (buffer, start, end) => options.decode(buffer.subarray(start, end)),
    encode: (value) => {
      const encoded = options.encode(value)
      return Effect.isEffect(encoded) ? onDone(encoded, copied) : encoded
    },
    decode: options.decode
  })

/**
 * Maps what a codec decodes to, both ways. A function that throws refuses what it was given.
 *
 * **Example** (Booleans as 0 and 1)
 *
 * ```ts
 * import { Codec } from "effect-ktables"
 *
 * export const flag = Codec.string.pipe(Codec.map((text) => text === "1", (on) => (on ? "1" : "0")))
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const map: {
  <A, B>(to: (a: A) => B, from: (b: B) => A): <RD, RE>(self: Codec<A, RD, RE>) => Codec<B, RD, RE>
  <A, RD, RE, B>(self: Codec<A, RD, RE>, to: (a: A) => B, from: (b: B) => A): Codec<B, RD, RE>
} = dual(3, <A, RD, RE, B>(self: Codec<A, RD, RE>, to: (a: A) => B, from: (b: B) => A): Codec<B, RD, RE> => {
  const mapped = (a: A): Exit.Exit<B, CodecError> => {
    try {
      return Exit.succeed(to(a))
    } catch (thrown) {
      return refuseThrown(thrown)
    }
  }
  return new CodecImpl<B, RD, RE>({
    decodeSlice: (buffer, start, end) => onDone(self.decodeSlice(buffer, start, end), mapped),
    encode: (b) => {
      let a: A
      try {
        a = from(b)
      } catch (thrown) {
        return refuseThrown(thrown)
      }
      return self.encode(a)
    }
  })
})

/**
 * A key of two parts: a member of a group.
 *
 * @category models
 * @since 0.1.0
 */
export interface GroupKey<out G, out M> {
  readonly group: G
  readonly member: M
}

const COLON = 0x3a
const ZERO = 0x30
/** A length has no more of them, since no key has 2 ** 31 bytes. */
const MOST_DIGITS = 10

const isContinuation = (byte: number): boolean => (byte & 0xc0) === 0x80

/** Where the group and the member begin in the key that was parsed last. */
let groupAt = 0
let memberAt = 0

/**
 * Finds the parts of a grouped key, and hands back what is wrong with one that is none. It looks at the
 * bytes of the key once, whatever its length says. That the parts are UTF-8 is not looked at: where both are, so is
 * the key.
 */
const parseGrouped = (buffer: Uint8Array, start: number, end: number): string | undefined => {
  let length = 0
  let at = start
  for (const last = Math.min(end, start + MOST_DIGITS); at < last; at++) {
    const digit = buffer[at]! - ZERO
    if (digit < 0 || digit > 9) break
    length = length * 10 + digit
  }
  if (at === start || at >= end || buffer[at] !== COLON) return "it does not begin with a length and a colon"
  if (buffer[start] === ZERO && at > start + 1) return "its length begins with a zero"
  groupAt = ++at
  for (; length > 0 && at < end; length--) {
    at++
    while (at < end && isContinuation(buffer[at]!)) at++
  }
  if (length > 0) return "its length is beyond its end"
  memberAt = at
  return undefined
}

const isUtf8 = (buffer: Uint8Array, start: number, end: number): boolean => {
  for (let at = start; at < end; at++) {
    if (buffer[at]! >= 0x80) return decodeUtf8(buffer, start, end) !== undefined
  }
  return true
}

/** Whether a part is UTF-8: as a string it is looked at while it is decoded. */
const isText = (codec: Any, buffer: Uint8Array, start: number, end: number): boolean =>
  codec === string || isUtf8(buffer, start, end)

/** The bytes of a part, if they are text. */
const toPart = (bytes: unknown): Exit.Exit<Uint8Array, CodecError> => {
  if (!(bytes instanceof Uint8Array)) return refuse("the codec of a part gave something else than a Uint8Array")
  return isUtf8(bytes, 0, bytes.length) ? Exit.succeed(bytes) : refuse("a part of the key is not UTF-8")
}

const joined = (group: Uint8Array, member: Uint8Array): Uint8Array => {
  let length = 0
  for (const byte of group) if (!isContinuation(byte)) length++
  const prefix = `${length}:`
  const bytes = new Uint8Array(prefix.length + group.length + member.length)
  for (let i = 0; i < prefix.length; i++) bytes[i] = prefix.charCodeAt(i)
  bytes.set(group, prefix.length)
  bytes.set(member, prefix.length + group.length)
  return bytes
}

/**
 * The keys of grouped tables: `<length of the group in Unicode code points>:<group><member>`, in UTF-8, as Python's `ktables`
 * writes them. Whatever the parts contain, each pair has one key, and each key one pair.
 *
 * **Details**
 *
 * The codecs of the parts must give UTF-8 text. A key in any other form is refused: one without a length, with leading
 * zeros, with other digits than those of ASCII, or with a length that is beyond its end. Parsing looks at ten digits and at the
 * bytes of the key, whatever the length says.
 *
 * **Gotchas**
 *
 * A length counts code points, and not what `string.length` counts: `😀` is one.
 *
 * **Example** (The key of a member)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Codec } from "effect-ktables"
 *
 * const hosts = Codec.grouped(Codec.string, Codec.string)
 *
 * // 7:billinghost-a
 * export const bytes = Effect.runSync(hosts.encode({ group: "billing", member: "host-a" }))
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const grouped = <G, M, RD = never, RE = never, RD2 = never, RE2 = never>(
  group: Codec<G, RD, RE>,
  member: Codec<M, RD2, RE2>
): Codec<GroupKey<G, M>, RD | RD2, RE | RE2> => {
  const [groupPlain, memberPlain] = [group.decodePlain, member.decodePlain]
  return new CodecImpl<GroupKey<G, M>, RD | RD2, RE | RE2>({
    decodePlain:
      groupPlain === undefined || memberPlain === undefined
        ? undefined
        : (buffer, start, end) => {
            if (parseGrouped(buffer, start, end) !== undefined) return undefined
            const [from, to] = [groupAt, memberAt]
            if (!isText(group, buffer, from, to) || !isText(member, buffer, to, end)) return undefined
            const g = groupPlain(buffer, from, to)
            const m = g === undefined ? undefined : memberPlain(buffer, to, end)
            return m === undefined ? undefined : { group: g as G, member: m }
          },
    decodeSlice: (buffer, start, end) => {
      const wrong = parseGrouped(buffer, start, end)
      if (wrong !== undefined) return refuse(`not the key of a grouped table: ${wrong}`)
      const [from, to] = [groupAt, memberAt]
      if (!isText(group, buffer, from, to) || !isText(member, buffer, to, end)) return refuse("the bytes are not UTF-8")
      const first = group.decodeSlice(buffer, from, to)
      // The buffer may be filled again while an effect decodes the group.
      const rest = Exit.isExit(first) ? undefined : new Uint8Array(buffer.subarray(to, end))
      return onDone(first, (g) =>
        onDone(
          rest === undefined ? member.decodeSlice(buffer, to, end) : member.decode(rest),
          (m): Exit.Exit<GroupKey<G, M>> => Exit.succeed({ group: g, member: m })
        )
      )
    },
    encode: ({ group: g, member: m }) =>
      onDone(onDone(group.encode(g), toPart), (first) =>
        onDone(onDone(member.encode(m), toPart), (second) => Exit.succeed(joined(first, second)))
      ),
    isInjective: group.isInjective && member.isInjective
  })
}

/**
 * Empty bytes are `None`, all others `Some` of what the codec decodes. A value that encodes to no bytes is refused,
 * since it would read back as `None`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const option = <A, RD, RE>(self: Codec<A, RD, RE>): Codec<Option.Option<A>, RD, RE> =>
  new CodecImpl<Option.Option<A>, RD, RE>({
    decodeSlice: (buffer, start, end) =>
      start === end
        ? Exit.succeed(Option.none())
        : onDone(self.decodeSlice(buffer, start, end), (a) => Exit.succeed(Option.some(a))),
    encode: (value) =>
      Option.isNone(value)
        ? Exit.succeed(new Uint8Array(0))
        : onDone(self.encode(value.value), (bytes) =>
            bytes.length === 0
              ? refuse("Some of a value that encodes to no bytes would read back as None")
              : Exit.succeed(bytes)
          )
  })

/**
 * Never fails to decode: bytes that the codec refuses become a failed `Result`, kept in the table as data. Encoding such
 * a failure fails.
 *
 * @category combinators
 * @since 0.1.0
 */
export const attempt = <A, RD, RE>(self: Codec<A, RD, RE>): Codec<Result.Result<A, CodecError>, RD, RE> =>
  new CodecImpl<Result.Result<A, CodecError>, RD, RE>({
    decodeSlice: (buffer, start, end) =>
      onFailed(
        self.decodeSlice(buffer, start, end),
        (a) => Result.succeed(a) as Result.Result<A, CodecError>,
        (error) => (error.isTransient === true ? Exit.fail(error) : Exit.succeed(Result.fail(error)))
      ),
    encode: (value) => (Result.isSuccess(value) ? self.encode(value.success) : Exit.fail(value.failure))
  })
