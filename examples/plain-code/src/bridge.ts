/** A table for code without effects: promises to start, write and close, a map to read, and `for await` over changes. */
import { Effect, type Layer, ManagedRuntime, Scope, Stream } from "effect"
import {
  type KafkaClient,
  KafkaTable,
  KafkaTableWriter,
  type TableChange,
  type TableTopic,
  type WriteAck
} from "effect-ktables"

export interface PlainTable<K, V> {
  /** Live, of the newest version; it stays readable after a failure and after `close`. */
  readonly view: ReadonlyMap<K, V>
  /**
   * A snapshot, then every change. A loop over it may `break`; it ends with `close`, and throws when the table has failed for
   * good.
   */
  readonly changes: AsyncIterable<TableChange.TableChange<K, V>>
  /** Resolves once `view` has the write. */
  readonly set: (key: K, value: V) => Promise<WriteAck.WriteAck>
  readonly delete: (key: K) => Promise<WriteAck.WriteAck>
  /** Sends what is still to be sent, and stops everything. */
  readonly close: () => Promise<void>
}

/** Resolves when the table is complete; rejects with the error that kept it from that, and leaves nothing open then. */
export const openTable = async <K, V, E>(
  topic: TableTopic.TableTopic<K, V>,
  kafka: Layer.Layer<KafkaClient.KafkaClient, E>
): Promise<PlainTable<K, V>> => {
  const runtime = ManagedRuntime.make(kafka)
  try {
    // The writer first: it makes the topic. Both end with the runtime.
    const writer = await runtime.runPromise(Scope.provide(KafkaTableWriter.make(topic), runtime.scope))
    const table = await runtime.runPromise(
      Scope.provide(KafkaTable.make(topic, { catchUp: { mode: "await", onTimeout: "fail" } }), runtime.scope)
    )
    return {
      view: table.view,
      changes: Stream.toAsyncIterable(table.changes),
      set: (key, value) => runtime.runPromise(Effect.tap(writer.set(key, value), table.awaitOffset)),
      delete: (key) => runtime.runPromise(Effect.tap(writer.delete(key), table.awaitOffset)),
      close: runtime.dispose
    }
  } catch (error) {
    await runtime.dispose()
    throw error
  }
}
