/**
 * Decodes the halves of records: at once where plain code can, with patience where a codec needs its surroundings; and asks
 * what becomes of a record that does not decode.
 */
import type { LogError } from "../log/logError.ts"
import { Cause, type Context, Effect, Exit, Fiber, Option } from "effect"
import * as Codec from "../../Codec.ts"
import type { OnDecodeError, RawRecord } from "./onDecodeError.ts"
import { DecodeError } from "../../TableError.ts"
import type { TableTopic } from "../../TableTopic.ts"
import { isOutOfMemory, isStrayPromise, noEffect, printed } from "../defects.ts"
import { backoff } from "../backoff.ts"
import { readHeaders } from "../records/recordHeaders.ts"
import type { ReaderMetrics } from "../log/metrics.ts"
import { withoutStack } from "../taggedError.ts"
import type { Source } from "./source.ts"

/** What decoding one half of a record came to: its value, its refusal, or the effect that will tell. */
export type Decoded<A> = Exit.Exit<A, Codec.CodecError> | Fiber.Fiber<A, Codec.CodecError>

export const isFiber = <A>(decoded: Decoded<A>): decoded is Fiber.Fiber<A, Codec.CodecError> => Fiber.isFiber(decoded)

export const refusal = (detail: string): Exit.Exit<never, Codec.CodecError> =>
  Exit.fail(withoutStack(() => new Codec.CodecError({ detail })))

/**
 * What a codec threw, or died of, refuses the record: it happens again whenever the record is read. But for memory that was
 * not to be had: that is no fault of the record.
 */
export const thrownBy = (thrown: unknown): Exit.Exit<never, Codec.CodecError> =>
  isOutOfMemory(thrown) ? Exit.die(thrown) : refusal(`it threw: ${printed(thrown)}`)

/** What a codec came to, as a value or a refusal. It runs in a fiber of its own: whoever interrupted that is not the reader. */
const mended = <A>(exit: Exit.Exit<A, Codec.CodecError>): Exit.Exit<A, Codec.CodecError> => {
  if (Exit.isSuccess(exit)) {
    return isStrayPromise(exit.value)
      ? refusal("its codec gave a Promise as the value: a mapping is no async function")
      : exit
  }
  const error: Option.Option<unknown> = Cause.findErrorOption(exit.cause)
  if (Option.isSome(error)) return error.value instanceof Codec.CodecError ? exit : thrownBy(error.value)
  return Cause.hasDies(exit.cause) ? thrownBy(Cause.squash(exit.cause)) : refusal("its codec was interrupted")
}

/** Why a codec refused; undefined where it succeeded, and where it was no fault of the record. */
export const refusalOf = (exit: Exit.Exit<unknown, Codec.CodecError>): Codec.CodecError | undefined =>
  Exit.isSuccess(exit) ? undefined : Option.getOrUndefined(Cause.findErrorOption(exit.cause))

/** How a fiber ends, which does not outlast the wait for it. */
const ended = <A, E>(fiber: Fiber.Fiber<A, E>): Effect.Effect<Exit.Exit<A, E>> =>
  Effect.onInterrupt(Fiber.await(fiber), () => Fiber.interrupt(fiber))

const isTransient = (exit: Exit.Exit<unknown, Codec.CodecError>): boolean => refusalOf(exit)?.isTransient === true

export interface DecodingOptions<K, V, RD, RE, R> {
  readonly topic: TableTopic<K, V, RD, RE>
  readonly context: Context.Context<RD | R>
  readonly onDecodeError: OnDecodeError<R>
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
  /** Uses what decoding comes to: at once where plain code can tell (true), else by the effect that is handed back. */
  readonly used: <A>(
    decode: (source: Source) => Decoded<A>,
    source: Source,
    use: (exit: Exit.Exit<A, Codec.CodecError>) => void
  ) => true | Effect.Effect<void>
  /** Counts and reports a record that does not decode, and says what becomes of it. */
  readonly onPoison: (
    source: Source,
    part: "key" | "value",
    refusal: Codec.CodecError
  ) => Effect.Effect<"skip" | "remove", LogError>
  /** The first and the last record that did not decode, in words; cleared when a load ends. */
  readonly examples: { first: string | undefined; last: string | undefined }
}

/** Bytes of a key that a message shows. */
const SHOWN = 48

/** A key in a message: as text where it is some, else in hexadecimal. */
export const printedKey = ({ keyBuffer, keyLength, keyStart }: Source): string => {
  const end = keyStart + Math.min(keyLength, SHOWN)
  const text = keyBuffer.toString("utf8", keyStart, end)
  // A cut character at the end is no reason to show bytes.
  const isText = !/[\p{C}\ufffd]/u.test(text.replace(/\ufffd$/, ""))
  const shown = isText ? JSON.stringify(text) : `0x${keyBuffer.toString("hex", keyStart, end)}`
  return keyLength > SHOWN ? `${shown}… (${keyLength} bytes)` : shown
}

export const make = <K, V, RD, RE, R>(options: DecodingOptions<K, V, RD, RE, R>): Decoding<K, V> => {
  const { context, metrics, onDecodeError, report, topic } = options
  const { counts } = metrics
  const { key, value } = topic
  const examples: Decoding<K, V>["examples"] = { first: undefined, last: undefined }

  /** Settles what can be settled without leaving the loop. */
  const settle = <A>(
    decode: Codec.Codec<A, RD>["decodeSlice"],
    buffer: Buffer,
    start: number,
    end: number
  ): Decoded<A> => {
    try {
      const effect = decode(buffer, start, end)
      if (Exit.isExit(effect)) return mended(effect as Exit.Exit<A, Codec.CodecError>)
      const wrong = noEffect(effect)
      if (wrong !== undefined) return refusal(`its codec ${wrong}`)
      const exit = Effect.runSyncExitWith(context)(effect)
      if (Exit.isSuccess(exit)) return mended(exit)
      const defect = Cause.squash(exit.cause)
      return Cause.isAsyncFiberError(defect) ? (defect.fiber as Fiber.Fiber<A, Codec.CodecError>) : mended(exit)
    } catch (thrown) {
      return thrownBy(thrown)
    }
  }

  const settled: Decoding<K, V>["settled"] = <A>(
    decode: (source: Source) => Decoded<A>,
    source: Source,
    first: Decoded<A> = decode(source)
  ) => {
    const attempt = (decoded: Decoded<A>, failures: number): Effect.Effect<Exit.Exit<A, Codec.CodecError>> => {
      const done: Effect.Effect<Exit.Exit<A, Codec.CodecError>> = isFiber(decoded)
        ? Effect.map(ended(decoded), mended)
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

  const used: Decoding<K, V>["used"] = (decode, source, use) => {
    const decoded = decode(source)
    if (isFiber(decoded) || isTransient(decoded)) return Effect.map(settled(decode, source, decoded), use)
    use(decoded)
    return true
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
        : Buffer.from(source.valueBuffer.subarray(source.valueStart, source.valueStart + source.valueLength)),
    headers: readHeaders(source.valueBuffer, source.headersStart, source.headersEnd)
  })

  /** What the function says; one that breaks, or says something else, fails the table with the record's error. */
  const asked = (
    decide: Extract<OnDecodeError<R>, Function>,
    error: DecodeError,
    record: RawRecord
  ): Effect.Effect<"skip" | "remove" | "fail", DecodeError> => {
    const failed = (how: string) => {
      const { offset, part, partition } = error
      const detail = `${error.detail}; and onDecodeError ${how}`
      return Effect.fail(new DecodeError({ topic: topic.name, partition, offset, part, detail }))
    }
    const decision = Effect.suspend(() => {
      const given = decide(error, record)
      const wrong = noEffect(given)
      return wrong === undefined ? given : Effect.die(new Error(`it ${wrong}`))
    })
    // In a fiber of its own, as codecs are: whoever interrupts it does not interrupt the reader.
    return Effect.flatMap(Effect.flatMap(Effect.forkChild(Effect.provideContext(decision, context)), ended), (exit) => {
      if (Exit.isFailure(exit)) return failed(`broke: ${printed(Cause.squash(exit.cause))}`)
      const choice: unknown = exit.value
      return choice === "skip" || choice === "remove" || choice === "fail"
        ? Effect.succeed(choice)
        : failed(`answered ${printed(choice)}, which is none of skip, remove and fail`)
    })
  }

  const onPoison: Decoding<K, V>["onPoison"] = Effect.fnUntraced(function* (source, part, refusal) {
    if (part === "key") counts.keyErrors++
    else counts.valueErrors++
    const { offset, partition } = source
    const detail = printed(refusal.detail)
    const error = withoutStack(() => new DecodeError({ topic: topic.name, partition, offset, part, detail }))
    metrics.failed(`${part} decode`)
    const choice = typeof onDecodeError === "string" ? onDecodeError : yield* asked(onDecodeError, error, rawOf(source))
    if (choice === "fail") return yield* error
    const example = `key ${printedKey(source)} at ${partition}:${offset}: ${printed(refusal.detail)}`
    examples.first ??= example
    examples.last = example
    yield* report(`${part} decode`, `${error.message} (${choice === "skip" ? "skipped" : "removed"})`)
    return choice
  })

  return {
    decodeKey: (source) =>
      settle(key.decodeSlice, source.keyBuffer, source.keyStart, source.keyStart + source.keyLength),
    decodeValue: (source) =>
      settle(value.decodeSlice, source.valueBuffer, source.valueStart, source.valueStart + source.valueLength),
    settled,
    used,
    onPoison,
    examples
  }
}
