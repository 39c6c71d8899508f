/**
 * Whether two decoded values stand for the same bytes. `Equal` tells for plain data; but instances of a class compare equal
 * though their private state differs, and a class may say of itself what it likes. Of those the encodings are compared.
 */
import { type Context, Effect, Equal, Exit, Option, Schema } from "effect"
import type * as Codec from "../../Codec.ts"
import { noEffect } from "../defects.ts"

const plainPrototypes: ReadonlySet<unknown> = new Set([
  Object.prototype,
  Array.prototype,
  Date.prototype,
  Uint8Array.prototype,
  null
])

/** Whether all that a value holds is there for everybody to see, so that `Equal` sees it. */
export const isTransparent = (value: unknown): boolean => {
  if (typeof value === "function" || typeof value === "symbol") return false
  if (typeof value !== "object" || value === null) return true
  if (Option.isOption(value)) return Option.isNone(value) || isTransparent(value.value)
  const prototype: unknown = Object.getPrototypeOf(value)
  if (!plainPrototypes.has(prototype)) {
    // What a schema makes has the fields that the schema decoded, and a comparison by them.
    if (!Schema.isSchema(value.constructor)) return false
  } else if (Object.getOwnPropertySymbols(value).length > 0) return false
  if (ArrayBuffer.isView(value) || value instanceof Date) return true
  for (const part of Object.values(value)) if (!isTransparent(part)) return false
  return true
}

/** A value's encoding; undefined where it has none that can be had at once. */
export const encodingOf = <A, RD, RE>(
  codec: Codec.Codec<A, RD, RE>,
  context: Context.Context<RD>,
  value: A
): Uint8Array | undefined => {
  // A table has no services to encode with; a codec that wants some dies here, and has no encoding.
  const encoding = codec.encode(value) as Effect.Effect<Uint8Array, Codec.CodecError>
  if (noEffect(encoding) !== undefined) return undefined
  const exit = Effect.runSyncExitWith(context)(encoding)
  return Exit.isSuccess(exit) ? exit.value : undefined
}

/** Compares two values; what cannot be compared differs. */
export const sameness =
  <A, RD, RE>(codec: Codec.Codec<A, RD, RE>, context: Context.Context<RD>) =>
  (a: A, b: A): boolean => {
    try {
      if (!Equal.equals(a, b)) return false
      if (isTransparent(a) && isTransparent(b)) return true
      const [first, second] = [encodingOf(codec, context, a), encodingOf(codec, context, b)]
      return first !== undefined && second !== undefined && Buffer.compare(first, second) === 0
    } catch {
      return false
    }
  }
