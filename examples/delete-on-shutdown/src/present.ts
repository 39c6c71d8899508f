import { Effect } from "effect"
import type { KafkaTableWriter } from "effect-ktables"

/**
 * Keeps an entry in the table for as long as the scope is open. Finalizers run in the reverse of their order: what was
 * acquired before this ends after the tombstone is written, and the writer, being provided from outside, last of all.
 */
export const present = <K, V>(writer: KafkaTableWriter.KafkaTableWriter<K, V>, key: K, value: V) =>
  Effect.acquireRelease(writer.set(key, value), () =>
    // A shutdown goes on without a broker, but not in silence: the entry outlives the process.
    Effect.catch(writer.delete(key), (error) =>
      Effect.logError(`${String(key)} is still in the table: ${error.message}`)
    )
  )
