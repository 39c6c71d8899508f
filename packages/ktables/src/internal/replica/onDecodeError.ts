/** What becomes of records that do not decode. */
import type { Effect } from "effect"
import type { DecodeError } from "../../TableError.ts"
import type { Header } from "../../TableEntry.ts"
import * as Check from "../options.ts"

/**
 * A record as it lies in the log.
 *
 * @category models
 * @since 0.1.0
 */
export interface RawRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** Milliseconds since the epoch. */
  readonly timestamp: number
  readonly key: Uint8Array
  /** Null for a tombstone. */
  readonly value: Uint8Array | null
  /** As they were written, in their order, also where the table keeps none; undefined where they are damaged. */
  readonly headers: ReadonlyArray<Header> | undefined
}

/**
 * What becomes of a record that does not decode.
 *
 * - `skip`: as if it were not in the log; its key keeps the newest value that decodes. A load of which no older value
 *   decodes either, of 10,000 that it looks at, looks for no more of them.
 * - `remove`: as if it were a tombstone. (A key that does not decode is always skipped.)
 * - `fail`: the reader fails with the `DecodeError`.
 * - a function: decides each time, with the raw record at hand. `R` are the services that it needs, a writer of dead letters
 *   perhaps: making the table asks for them.
 *
 * **Gotchas**
 *
 * A record is decided about again whenever it is read again: at each start, and when the table is built again. While a load
 * is decoded only the last record of each key is. Where a function decides, loads hold the headers of records, too.
 *
 * **Example** (A topic of dead letters)
 *
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { Codec, KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"
 *
 * const prices = TableTopic.make({ name: "prices", key: Schema.String, value: Schema.Finite })
 * const letters = TableTopic.make({ name: "prices.dead", key: Schema.String, value: Codec.bytes })
 *
 * class Prices extends KafkaTable.Service<Prices>()("app/Prices", prices) {}
 * class DeadLetters extends KafkaTableWriter.Service<DeadLetters>()("app/DeadLetters", letters) {}
 *
 * const keep: KafkaTable.OnDecodeError<DeadLetters> = ({ offset, partition }, { headers = [], value }) =>
 *   DeadLetters.use((writer) => writer.set(`${partition}:${offset}`, value ?? new Uint8Array(0), { headers })).pipe(
 *     Effect.as("skip" as const),
 *     Effect.orElseSucceed(() => "fail" as const)
 *   )
 *
 * export const layer = Prices.layerWith({ onDecodeError: keep }).pipe(Layer.provide(DeadLetters.layer))
 * ```
 *
 * @category options
 * @since 0.1.0
 */
export type OnDecodeError<R = never> =
  | "skip"
  | "remove"
  | "fail"
  | ((error: DecodeError, record: RawRecord) => Effect.Effect<"skip" | "remove" | "fail", never, R>)

export const checkOnDecodeError: Check.Check = Check.either(
  Check.oneOf("skip", "remove", "fail"),
  Check.satisfies("a function of the error and the record", Check.isFunction)
)
