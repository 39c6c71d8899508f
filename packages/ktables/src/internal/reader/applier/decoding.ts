/**
 * Decodes the halves of records: at once where plain code can, with patience where a codec needs its surroundings; and asks
 * what becomes of a record that does not decode.
 */
import { Cause, type Context, Effect, Exit, Fiber, Option } from "effect"
import type * as Codec from "../../../Codec.ts"
import type { OnDecodeError, RawRecord } from "../../../KafkaTable.ts"
import { DecodeError, type TableError } from "../../../TableError.ts"
import type { TableTopic } from "../../../TableTopic.ts"
import { backoff } from "../../topic/backoff.ts"
import type { ReaderMetrics } from "../metrics.ts"
import type { Source } from "./source.ts"

/** What decoding one half of a record came to: its value, its refusal, or the effect that will tell. */
export type Decoded<A> = Exit.Exit<A, Codec.CodecError> | Fiber.Fiber<A, Codec.CodecError>

export const isFiber = <A>(decoded: Decoded<A>): decoded is Fiber.Fiber<A, Codec.CodecError> => Fiber.isFiber(decoded)

/** Why a codec refused; undefined where it succeeded, and where it died. */
export const refusalOf = (exit: Exit.Exit<unknown, Codec.CodecError>): Codec.CodecError | undefined =>
  Exit.isSuccess(exit) ? undefined : Option.getOrUndefined(Cause.findErrorOption(exit.cause))

const isTransient = (exit: Exit.Exit<unknown, Codec.CodecError>): boolean => refusalOf(exit)?.isTransient === true

export interface DecodingOptions<K, V, RD, RE> {
  readonly topic: TableTopic<K, V, RD, RE>
  readonly context: Context.Context<RD>
  readonly onDecodeError: OnDecodeError
  readonly metrics: ReaderMetrics
  /** Says so, once in a while, without flooding the log. */
  readonly report: (kind: string, message: string) => Effect.Effect<void>
}

export interface Decoding<K, V> {
  readonly decodeKey: (source: Source) => Decoded<K>
  readonly decodeValue: (source: Source) => Decoded<V>
  /** Waits for a codec's effect; failures of its surroundings are retried for as long as they last. */
  readonly settled: <A>(
    decode: (source: Source) => Decoded<A>,
    source: Source,
    /** What decoding has come to already. */
    first?: Decoded<A>
  ) => Effect.Effect<Exit.Exit<A, Codec.CodecError>>
  /** Counts and reports a record that does not decode, and says what becomes of it. */
  readonly onPoison: (
    source: Source,
    part: "key" | "value",
    refusal: Codec.CodecError
  ) => Effect.Effect<"skip" | "remove", TableError>
}

export const make = <K, V, RD, RE>(options: DecodingOptions<K, V, RD, RE>): Decoding<K, V> => {
  const { context, metrics, onDecodeError, report, topic } = options
  const { counts } = metrics
  const { key, value } = topic

  /** Settles what can be settled without leaving the loop. */
  const settle = <A>(effect: Effect.Effect<A, Codec.CodecError, RD>): Decoded<A> => {
    if (Exit.isExit(effect)) return effect as Exit.Exit<A, Codec.CodecError>
    const exit = Effect.runSyncExitWith(context)(effect)
    if (Exit.isSuccess(exit)) return exit
    const defect = Cause.squash(exit.cause)
    return Cause.isAsyncFiberError(defect) ? (defect.fiber as Fiber.Fiber<A, Codec.CodecError>) : exit
  }

  const settled: Decoding<K, V>["settled"] = <A>(
    decode: (source: Source) => Decoded<A>,
    source: Source,
    first: Decoded<A> = decode(source)
  ) => {
    const attempt = (decoded: Decoded<A>, failures: number): Effect.Effect<Exit.Exit<A, Codec.CodecError>> => {
      const done: Effect.Effect<Exit.Exit<A, Codec.CodecError>> = isFiber(decoded)
        ? Effect.onInterrupt(Fiber.await(decoded), () => Fiber.interrupt(decoded))
        : Effect.succeed(decoded)
      return Effect.flatMap(done, (exit) => {
        if (!isTransient(exit)) return Effect.succeed(exit)
        const message = `a codec of ${topic.name} is unavailable and is tried again: ${refusalOf(exit)?.detail}`
        return report("codec unavailable", message).pipe(
          Effect.andThen(backoff(failures)),
          Effect.andThen(Effect.suspend(() => attempt(decode(source), failures + 1)))
        )
      })
    }
    return attempt(first, 1)
  }

  const rawOf = (source: Source): RawRecord => ({
    topic: topic.name,
    partition: source.partition,
    offset: source.offset,
    timestamp: source.timestamp,
    key: Buffer.from(source.keyBuffer.subarray(source.keyStart, source.keyStart + source.keyLength)),
    value:
      source.valueLength < 0
        ? null
        : Buffer.from(source.valueBuffer.subarray(source.valueStart, source.valueStart + source.valueLength))
  })

  const onPoison: Decoding<K, V>["onPoison"] = Effect.fnUntraced(function* (source, part, refusal) {
    if (part === "key") counts.keyErrors++
    else counts.valueErrors++
    const { offset, partition } = source
    const error = new DecodeError({ topic: topic.name, partition, offset, part, detail: refusal.detail })
    yield* metrics.failed(`${part} decode`)
    const choice = typeof onDecodeError === "string" ? onDecodeError : yield* onDecodeError(error, rawOf(source))
    if (choice === "fail") return yield* error
    yield* report(`${part} decode`, `${error.message} (${choice === "skip" ? "skipped" : "removed"})`)
    return choice
  })

  return {
    decodeKey: (source) =>
      settle(key.decodeSlice(source.keyBuffer, source.keyStart, source.keyStart + source.keyLength)),
    decodeValue: (source) =>
      settle(value.decodeSlice(source.valueBuffer, source.valueStart, source.valueStart + source.valueLength)),
    settled,
    onPoison
  }
}
