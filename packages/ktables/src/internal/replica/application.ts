/** Applies one record to contents: in plain code where that is enough, and else by what it came to later. */
import type { LogError } from "../log/logError.ts"
import { Cause, Effect, Exit } from "effect"
import type { CodecError } from "../../Codec.ts"
import type { Header } from "../../TableEntry.ts"
import type { TableTopic } from "../../TableTopic.ts"
import { readHeaders } from "../records/recordHeaders.ts"
import type { LogContents } from "./logContents.ts"
import { type Decoded, type Decoding, isFiber, refusal, refusalOf, thrownBy } from "./decoding.ts"
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
  readonly now: (target: LogContents<K, V>, source: Source, rank: Rank) => Interruption<K, V> | undefined
  /** Does what `now` could not: waits for codecs and asks what becomes of a bad record. */
  readonly late: (
    target: LogContents<K, V>,
    source: Source,
    interruption: Interruption<K, V>,
    /** Asked once the codecs have answered. */
    rank: () => Rank,
    /** Runs what writes to the target, at most once. */
    commit: (write: () => void) => void
  ) => Effect.Effect<"applied" | "refused", LogError>
}

/** Undefined where they are damaged. */
const headersOf = ({ headersEnd, headersStart, valueBuffer }: Source): ReadonlyArray<Header> | undefined =>
  readHeaders(valueBuffer, headersStart, headersEnd)

const damaged = refusal("the record's headers are damaged")

export const make = <K, V, RD, RE>(
  topic: TableTopic<K, V, RD, RE>,
  decoding: Decoding<K, V>,
  ownership: Ownership,
  keepsHeaders: boolean
): Application<K, V> => {
  const { key, value } = topic
  const { decodeKey, decodeValue, onPoison, settled } = decoding

  /** What becomes of a record that was refused; dies of what was no fault of the record. */
  const refused = (source: Source, part: "key" | "value", exit: Exit.Exit<unknown, CodecError>) => {
    const refusal = refusalOf(exit)
    return refusal === undefined
      ? Effect.die(Exit.isFailure(exit) ? Cause.squash(exit.cause) : exit)
      : onPoison(source, part, refusal)
  }

  /** A key that threw while it was looked for is refused; what else went wrong is a defect. */
  const incomparable = (target: LogContents<K, V>, k: K, defect: unknown): Exit.Exit<never, CodecError> => {
    try {
      target.has(k)
    } catch (thrown) {
      return thrownBy(thrown)
    }
    return Exit.die(defect)
  }

  return {
    now: (target, source, rank) => {
      let stage: "key" | "value" | "apply" = "key"
      let k: K | undefined
      try {
        k = key.decodePlain?.(source.keyBuffer, source.keyStart, source.keyStart + source.keyLength)
        if (k === undefined) {
          const decoded = decodeKey(source)
          if (isFiber(decoded) || Exit.isFailure(decoded)) return { key: decoded, value: undefined }
          k = decoded.value
        }
        if (source.valueLength < 0) {
          stage = "apply"
          ownership.remove(target, source, k, rank)
          return ownership.isDoubtful ? { key: Exit.succeed(k), value: undefined } : undefined
        }
        stage = "value"
        let v = value.decodePlain?.(source.valueBuffer, source.valueStart, source.valueStart + source.valueLength)
        if (v === undefined) {
          const decoded = decodeValue(source)
          if (isFiber(decoded) || Exit.isFailure(decoded)) return { key: Exit.succeed(k), value: decoded }
          v = decoded.value
        }
        let headers: ReadonlyArray<Header> | undefined
        if (keepsHeaders) {
          headers = headersOf(source)
          if (headers === undefined) return { key: Exit.succeed(k), value: damaged }
        }
        stage = "apply"
        ownership.put(target, source, k, v, rank, headers)
        return ownership.isDoubtful ? { key: Exit.succeed(k), value: Exit.succeed(v) } : undefined
      } catch (thrown) {
        if (stage === "key") return { key: thrownBy(thrown), value: undefined }
        if (stage === "value") return { key: Exit.succeed(k as K), value: thrownBy(thrown) }
        return { key: incomparable(target, k as K, thrown), value: undefined }
      }
    },

    late: Effect.fnUntraced(function* (target, source, interruption, rank, commit) {
      const k = yield* settled(decodeKey, source, interruption.key)
      if (Exit.isFailure(k)) {
        yield* refused(source, "key", k)
        return "applied"
      }
      /** Applies it, unless its key cannot be compared with the others. */
      const apply = (write: () => void) =>
        Effect.suspend(() => {
          let thrown: Exit.Exit<never, CodecError> | undefined
          commit(() => {
            try {
              write()
            } catch (defect) {
              thrown = incomparable(target, k.value, defect)
            }
          })
          const applied = Effect.succeed("applied" as const)
          return thrown === undefined ? applied : Effect.andThen(refused(source, "key", thrown), applied)
        })
      const remove = () => ownership.remove(target, source, k.value, rank())
      if (source.valueLength < 0) return yield* apply(remove)
      const value = yield* settled(decodeValue, source, interruption.value)
      const headers = keepsHeaders && Exit.isSuccess(value) ? headersOf(source) : undefined
      const v = keepsHeaders && Exit.isSuccess(value) && headers === undefined ? damaged : value
      if (Exit.isSuccess(v)) return yield* apply(() => ownership.put(target, source, k.value, v.value, rank(), headers))
      const choice = yield* refused(source, "value", v)
      return choice === "skip" ? "refused" : yield* apply(remove)
    })
  }
}
