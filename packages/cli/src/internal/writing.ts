/**
 * Writers of a topic, and one record that says where it is.
 */
import { Effect, type Scope } from "effect"
import { KafkaTableWriter, type TableTopic } from "effect-ktables"
import type { KafkaClient } from "effect-ktables/KafkaClient"
import type { WriteAck } from "effect-ktables/WriteAck"
import { type CommandFailed, fromError } from "./failure.ts"
import { quoted } from "./formats.ts"
import { writeLines } from "./output.ts"
import { rawTopic } from "./reading.ts"
import { millisOf, outputOf, type Settings } from "./settings.ts"

const toJson = (ack: WriteAck): string =>
  `{"topic":${quoted(ack.topic)},"topicId":${ack.topicId === undefined ? "null" : quoted(ack.topicId)},"partition":${ack.partition},"offset":${ack.offset ?? "null"},"timestamp":${ack.timestamp}}`

export type Writer = KafkaTableWriter.KafkaTableWriter<Uint8Array, Uint8Array>

/** A writer that creates no topic, and waits as long as the settings allow. */
export const writerOf = <K, V>(
  settings: Settings,
  topic: TableTopic.TableTopic<K, V>
): Effect.Effect<KafkaTableWriter.KafkaTableWriter<K, V>, CommandFailed, KafkaClient | Scope.Scope> => {
  const limit = millisOf(settings)
  return KafkaTableWriter.make(topic, {
    ensureTopic: false,
    startTimeout: limit,
    deliveryTimeout: limit
  }).pipe(Effect.mapError(fromError))
}

export const writer = (settings: Settings, topic: string) => writerOf(settings, rawTopic(topic))

/** A value of null is a tombstone. */
export const write = Effect.fnUntraced(function* (
  settings: Settings,
  topic: string,
  key: Uint8Array,
  value: Uint8Array | null
): Effect.fn.Return<void, CommandFailed, KafkaClient | Scope.Scope> {
  const made = yield* writer(settings, topic)
  const ack = yield* Effect.mapError(value === null ? made.delete(key) : made.set(key, value), fromError)
  const what = value === null ? "deleted" : "written"
  const text = `${what}: ${ack.topic}, partition ${ack.partition}, offset ${ack.offset}`
  yield* writeLines([outputOf(settings) === "table" ? text : toJson(ack)])
})
