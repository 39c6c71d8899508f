/** Applies one record to contents: in plain code where that is enough, and else by what it came to later. */
import { Cause, Effect, Exit } from "effect"
import type { TableError } from "../../../TableError.ts"
import type { TableTopic } from "../../../TableTopic.ts"
import type { Change, Contents } from "../contents.ts"
import { type Decoded, type Decoding, isFiber, refusalOf } from "./decoding.ts"
import type { Ownership, Rank } from "./ownership.ts"
import type { Source } from "./source.ts"

/** What kept a record from being applied on the spot: it does not decode, needs an effect to, or is doubtful. */
export interface Interruption<K, V> {
  readonly key: Decoded<K>
  /** Undefined while not looked at. */
  readonly value: Decoded<V> | undefined
}

export interface Application<K, V> {
  /** Decodes and applies one record, unless that takes more than plain code. */
  readonly now: (target: Contents<K, V>, source: Source, rank: Rank) => Interruption<K, V> | undefined
  /** Does what `now` could not: waits for codecs and asks what becomes of a bad record. */
  readonly late: (
    target: Contents<K, V>,
    source: Source,
    interruption: Interruption<K, V>,
    /** Asked once the codecs have answered. */
    rank: () => Rank,
    collect: boolean
  ) => Effect.Effect<ReadonlyArray<Change<K, V>> | "refused", TableError>
}

export const make = <K, V, RD, RE>(
  topic: TableTopic<K, V, RD, RE>,
  decoding: Decoding<K, V>,
  ownership: Ownership
): Application<K, V> => {
  const { key, value } = topic
  const { decodeKey, decodeValue, onPoison, settled } = decoding

  return {
    now: (target, source, rank) => {
      const keyEnd = source.keyStart + source.keyLength
      let k = key.decodePlain?.(source.keyBuffer, source.keyStart, keyEnd)
      if (k === undefined) {
        const decoded = decodeKey(source)
        if (isFiber(decoded) || Exit.isFailure(decoded)) return { key: decoded, value: undefined }
        k = decoded.value
      }
      if (source.valueLength < 0) {
        ownership.remove(target, source, k, rank)
        return ownership.isDoubtful ? { key: Exit.succeed(k), value: undefined } : undefined
      }
      const valueEnd = source.valueStart + source.valueLength
      let v = value.decodePlain?.(source.valueBuffer, source.valueStart, valueEnd)
      if (v === undefined) {
        const decoded = decodeValue(source)
        if (isFiber(decoded) || Exit.isFailure(decoded)) return { key: Exit.succeed(k), value: decoded }
        v = decoded.value
      }
      ownership.put(target, source, k, v, rank)
      return ownership.isDoubtful ? { key: Exit.succeed(k), value: Exit.succeed(v) } : undefined
    },

    late: Effect.fnUntraced(function* (target, source, interruption, rank, collect) {
      const k = yield* settled(decodeKey, source, interruption.key)
      if (Exit.isFailure(k)) {
        const refusal = refusalOf(k)
        if (refusal === undefined) return yield* Effect.die(Cause.squash(k.cause))
        yield* onPoison(source, "key", refusal)
        return []
      }
      const remove = () => ownership.remove(target, source, k.value, rank())
      if (source.valueLength < 0) return target.mutate(remove, collect)
      const v = yield* settled(decodeValue, source, interruption.value)
      if (Exit.isSuccess(v)) {
        return target.mutate(() => ownership.put(target, source, k.value, v.value, rank()), collect)
      }
      const refusal = refusalOf(v)
      if (refusal === undefined) return yield* Effect.die(Cause.squash(v.cause))
      const choice = yield* onPoison(source, "value", refusal)
      return choice === "skip" ? "refused" : target.mutate(remove, collect)
    })
  }
}
