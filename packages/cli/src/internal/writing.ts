/**
 * Writes one record, and says where it is.
 */
import { Effect, type Scope } from "effect"
import { KafkaTableWriter } from "effect-ktables"
import type { KafkaClient } from "effect-ktables/KafkaClient"
import type { WriteAck } from "effect-ktables/WriteAck"
import { type CommandFailed, fromError } from "./failure.ts"
import { quoted } from "./formats.ts"
import { writeLines } from "./output.ts"
import { rawTopic } from "./reading.ts"
import { millisOf, outputOf, type Settings } from "./settings.ts"

const toJson = (ack: WriteAck): string =>
  `{"topic":${quoted(ack.topic)},"topicId":${ack.topicId === undefined ? "null" : quoted(ack.topicId)},"partition":${ack.partition},"offset":${ack.offset ?? "null"},"timestamp":${ack.timestamp}}`

/** A value of null is a tombstone. */
export const write = Effect.fnUntraced(function* (
  settings: Settings,
  topic: string,
  key: Uint8Array,
  value: Uint8Array | null
): Effect.fn.Return<void, CommandFailed, KafkaClient | Scope.Scope> {
  const limit = millisOf(settings)
  const writer = yield* KafkaTableWriter.make(rawTopic(topic), {
    ensureTopic: false,
    startTimeout: limit,
    deliveryTimeout: limit
  }).pipe(Effect.mapError(fromError))
  const ack = yield* Effect.mapError(value === null ? writer.delete(key) : writer.set(key, value), fromError)
  const what = value === null ? "deleted" : "written"
  const text = `${what}: ${ack.topic}, partition ${ack.partition}, offset ${ack.offset}`
  yield* writeLines([outputOf(settings) === "table" ? text : toJson(ack)])
})
